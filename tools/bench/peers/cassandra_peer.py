"""Cassandra 5: one node on loopback, which this program starts and ends, asked by
CassandraClient.java.

    cassandra_peer.py serve FOLDER [kind=default|latest] [sync=periodic|batch]

runs the node until standard input ends ("kill" there ends it at once, as kill -9 does) and prints
{"event": "ready", "seconds": ...} when it answers. The other commands are those of README.md and
need a node that serves the same folder.

Needs Java 17 or 11, and the jars that setup.sh has put into the folder that the environment
variable VARVE_PEERS names.
"""

import ctypes
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = '5.0.8'
HEAP = '4G'
PORT = 9042
START_SECONDS, STOP_SECONDS = 120, 60
PR_SET_PDEATHSIG = 1

# What Cassandra reaches into on Java 11 and 17, as its own start script says.
EXPORTS = ('java.base/jdk.internal.misc', 'java.base/jdk.internal.ref', 'java.base/sun.nio.ch',
           'java.management.rmi/com.sun.jmx.remote.internal.rmi', 'java.rmi/sun.rmi.registry',
           'java.rmi/sun.rmi.server', 'java.sql/java.sql', 'java.rmi/sun.rmi.transport.tcp',
           'jdk.unsupported/sun.misc')
OPENS = ('java.base/java.lang.module', 'java.base/jdk.internal.loader',
         'java.base/jdk.internal.ref', 'java.base/jdk.internal.reflect',
         'java.base/jdk.internal.math', 'java.base/jdk.internal.module',
         'java.base/jdk.internal.util.jar', 'java.base/java.nio', 'java.base/java.lang',
         'java.base/java.lang.reflect', 'java.base/java.util', 'java.base/java.util.concurrent',
         'java.base/java.util.concurrent.atomic', 'java.base/java.io', 'java.base/java.net',
         'java.base/sun.nio.ch', 'java.management/sun.management',
         'jdk.management/com.sun.management.internal')

# The shipped defaults, bound to loopback, without timeouts and limits that a bench would meet.
BASE = {
    'cluster_name': 'bench', 'num_tokens': 1, 'initial_token': '"0"',
    'allocate_tokens_for_local_replication_factor': 1,
    'partitioner': 'org.apache.cassandra.dht.Murmur3Partitioner',
    'data_file_directories': '[data]', 'commitlog_directory': 'commitlog',
    'saved_caches_directory': 'saved_caches', 'hints_directory': 'hints',
    'cdc_raw_directory': 'cdc_raw',
    'commitlog_segment_size': '32MiB', 'disk_optimization_strategy': 'ssd',
    'disk_failure_policy': 'die', 'commit_failure_policy': 'die',
    'authenticator': 'AllowAllAuthenticator', 'authorizer': 'AllowAllAuthorizer',
    'endpoint_snitch': 'SimpleSnitch',
    'seed_provider': '[{class_name: org.apache.cassandra.locator.SimpleSeedProvider, '
                     'parameters: [{seeds: "127.0.0.1:7000"}]}]',
    'listen_address': '127.0.0.1', 'rpc_address': '127.0.0.1', 'native_transport_port': PORT,
    'storage_port': 7000, 'start_native_transport': 'true',
    'concurrent_reads': 32, 'concurrent_writes': 32, 'concurrent_compactors': 2,
    'compaction_throughput': '0MiB/s', 'memtable_allocation_type': 'heap_buffers',
    'read_request_timeout': '600s', 'range_request_timeout': '600s',
    'write_request_timeout': '60s', 'request_timeout': '600s', 'truncate_request_timeout': '120s',
    'batch_size_warn_threshold': '5MiB', 'batch_size_fail_threshold': '50MiB',
    'auto_snapshot': 'false',
}
SYNC = {'periodic': {'commitlog_sync': 'periodic', 'commitlog_sync_period': '10000ms'},
        'batch': {'commitlog_sync': 'batch'}}
# What the shipped cassandra_latest.yaml changes: trie memtables off the heap, BTI files, unified
# compaction.
KIND = {'default': {}, 'latest': {
    'memtable_allocation_type': 'offheap_objects', 'storage_compatibility_mode': 'NONE',
    'memtable': '{configurations: {skiplist: {class_name: SkipListMemtable}, '
                'trie: {class_name: TrieMemtable}, default: {inherits: trie}}}',
    'sstable': '{selected_format: bti}',
    'default_compaction': '{class_name: UnifiedCompactionStrategy, parameters: {'
                          'scaling_parameters: T4, max_sstables_to_compact: 64, '
                          'target_sstable_size: 1GiB, sstable_growth: 0.3333333333333333, '
                          'min_sstable_size: 100MiB}}'}}


def say(**line):
    print(json.dumps(line), flush=True)


def parse_options(words):
    return dict(word.split('=', 1) for word in words)


def jars():
    folder = os.path.join(os.environ.get('VARVE_PEERS', ''), 'cassandra')
    if not glob.glob(os.path.join(folder, 'cassandra-all-*.jar')):
        sys.exit('cassandra: no jars; run tools/bench/setup.sh cassandra')
    return folder


def java_flags():
    flags = []
    for name in EXPORTS:
        flags += ['--add-exports', f'{name}=ALL-UNNAMED']
    for name in OPENS:
        flags += ['--add-opens', f'{name}=ALL-UNNAMED']
    return flags


# ------------------------------------------------------------------------------------- The node

def write_settings(folder, options):
    settings = {**BASE, **SYNC[options.get('sync', 'periodic')],
                **KIND[options.get('kind', 'default')]}
    conf = os.path.join(folder, 'conf')
    os.makedirs(conf, exist_ok=True)
    with open(os.path.join(conf, 'cassandra.yaml'), 'w', encoding='ascii') as file:
        file.writelines(f'{key}: {value}\n' for key, value in settings.items())
    shutil.copy(os.path.join(HERE, 'cassandra', 'logback.xml'), conf)


def end_with_parent():
    """In the node, before it runs: it is told to end when this program does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def node_command(folder):
    agent = glob.glob(os.path.join(jars(), 'jamm-*.jar'))[0]
    settings = {
        'cassandra.config': f'file:{folder}/conf/cassandra.yaml',
        'logback.configurationFile': f'{folder}/conf/logback.xml',
        'cassandra.storagedir': folder, 'cassandra-foreground': 'yes',
        'cassandra.jmx.local.port': '7199', 'cassandra.ring_delay_ms': '100',
        'cassandra.skip_wait_for_gossip_to_settle': '0',
        'cassandra.superuser_setup_delay_ms': '0', 'jdk.attach.allowAttachSelf': 'true',
        'io.netty.tryReflectionSetAccessible': 'true'}
    return ['java', f'-Xms{HEAP}', f'-Xmx{HEAP}', '-XX:+UseG1GC', '-XX:+AlwaysPreTouch', '-Xss256k',
            f'-javaagent:{agent}', *java_flags(), *(f'-D{k}={v}' for k, v in settings.items()),
            '-cp', f'{folder}/conf:{jars()}/*', 'org.apache.cassandra.service.CassandraDaemon']


def answers():
    try:
        socket.create_connection(('127.0.0.1', PORT), timeout=1).close()
        return True
    except OSError:
        return False


def serve(folder, options):
    folder = os.path.abspath(folder)
    if answers():
        sys.exit(f'cassandra: something listens on port {PORT} already')
    write_settings(folder, options)
    started = time.monotonic()
    with open(os.path.join(folder, 'output.log'), 'ab') as log:
        node = subprocess.Popen(node_command(folder), cwd=folder, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log, preexec_fn=end_with_parent)
    with open(os.path.join(folder, 'node.pid'), 'w', encoding='ascii') as file:
        file.write(str(node.pid))
    try:
        threading.Thread(target=end_when_told, args=(node,), daemon=True).start()
        while not answers():
            if node.poll() is not None or time.monotonic() - started > START_SECONDS:
                sys.exit(f'cassandra: the node did not start, see {folder}/output.log')
            time.sleep(0.05)
        say(event='ready', seconds=time.monotonic() - started)
        node.wait()
    finally:
        stop(node)


def end_when_told(node):
    """When standard input says so, or ends."""
    if sys.stdin.readline().strip() == 'kill':
        node.kill()
    else:
        node.terminate()


def stop(node):
    if node.poll() is None:
        node.terminate()
    try:
        node.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()


def nodetool(folder, *words):
    folder = os.path.abspath(folder)
    subprocess.run(['java', '-Xmx256m', *java_flags(), '-cp', f'{folder}/conf:{jars()}/*',
                    f'-Dcassandra.storagedir={folder}',
                    f'-Dcassandra.config=file:{folder}/conf/cassandra.yaml',
                    'org.apache.cassandra.tools.NodeTool', '-h', '127.0.0.1', '-p', '7199', *words],
                   check=True, cwd=folder, stdout=subprocess.DEVNULL)


# ------------------------------------------------------------------------------------- Commands

def node_pid(folder):
    with open(os.path.join(folder, 'node.pid'), encoding='ascii') as file:
        return int(file.read())


def node_used(folder):
    """CPU seconds of the node, and bytes that it has written."""
    pid = node_pid(folder)
    with open(f'/proc/{pid}/stat', encoding='ascii') as file:
        fields = file.read().rpartition(')')[2].split()
    with open(f'/proc/{pid}/io', encoding='ascii') as file:
        written = next(int(line.split()[1]) for line in file if line.startswith('write_bytes'))
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK'), written


def timed_nodetool(folder, measure, *words):
    cpu, written = node_used(folder)
    start = time.monotonic()
    nodetool(folder, *words)
    seconds = time.monotonic() - start
    after_cpu, after_written = node_used(folder)
    say(measure=measure, seconds=seconds, cpu=after_cpu - cpu, written=after_written - written)


def client(command, folder, rows, words):
    subprocess.run(['java', '-Xms512m', '-Xmx2g', '-cp', f'{jars()}/*',
                    '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
                    f'-Dlogback.configurationFile={folder}/conf/logback.xml',
                    os.path.join(HERE, 'CassandraClient.java'), command, rows,
                    str(node_pid(folder)), *words], check=True, cwd=folder)


def size(folder):
    data = total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            try:
                bytes_here = os.path.getsize(os.path.join(top, name))
            except FileNotFoundError:
                continue  # the node removes files while it runs
            total += bytes_here
            if os.path.join(folder, 'data', 'peer') in top:
                data += bytes_here
    say(measure='size', bytes=data, other_bytes=total - data)


def describe(options):
    say(peer='cassandra', version=VERSION, parallel=False, merges=True, many_writers=True,
        commits=True, commit_sizes=[1, 100], crowd=True, server=True,
        settings=f"{options.get('kind', 'default')} configuration, commit log "
                 f"{options.get('sync', 'periodic')}, {options.get('compression', 'lz4')} "
                 f'compression, heap {HEAP}, replication 1, Java driver over loopback, unlogged '
                 'batches hold rows of one partition, memory is reserved at start')


def main():
    if len(sys.argv) < 2:
        sys.exit(f'usage: {sys.argv[0]} COMMAND [FOLDER ROWS] [key=value...]')
    command = sys.argv[1]
    if command == 'describe':
        describe(parse_options(sys.argv[2:]))
    elif command == 'serve':
        serve(sys.argv[2], parse_options(sys.argv[3:]))
    else:
        folder, rows, words = os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3]), sys.argv[4:]
        if command in ('load', 'reopen', 'ask'):
            client(command, folder, rows, words)
        if command == 'load':
            timed_nodetool(folder, 'flush', 'flush', 'peer')
        elif command == 'merge':
            timed_nodetool(folder, 'merge', 'compact', 'peer')
        elif command == 'size':
            size(folder)


if __name__ == '__main__':
    main()
