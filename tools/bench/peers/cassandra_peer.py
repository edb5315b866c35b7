"""Cassandra 5: one node on loopback, which this program starts and ends, asked by
CassandraClient.java.

    cassandra_peer.py serve FOLDER [kind=default|latest] [sync=periodic|batch|group]
                                   [writes=N] [window=MILLISECONDS]

runs the node until standard input ends ("kill" there ends it at once, as kill -9 does) and prints
{"event": "ready", "seconds": ...} when it answers. `writes` and `window` are for those who want to
see that other values than those below are not better. The other commands are those of README.md
and need a node that serves the same folder. A node that was just started and is asked with warm=0
is to be asked a cold table, not by cold programs: both are warmed on another table with the same
columns, then the pages of all data files are dropped. A load with hold=1 does not flush; whoever
wants to kill the node then kills it.

Needs Java 17 or 11, and the jars that setup.sh has put into the folder that the environment
variable VARVE_PEERS names.
"""

import contextlib
import ctypes
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
PORT, JMX_PORT = 9042, 7199
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
# As the cassandra-env.sh of 5.0 chooses: half of the machine's memory for the heap, up to 31 GiB, half
# of that for direct memory, a collector thread a core of either kind, and few arenas.
MEMORY_MIB = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 20
HEAP_MIB = min(MEMORY_MIB // 2, 31744)
NODE_ENVIRONMENT = {'MALLOC_ARENA_MAX': '4'}
# The flags that Cassandra ships for Java 17, but for -ea: assertions cost it time.
NODE_FLAGS = (f'-Xms{HEAP_MIB}M', f'-Xmx{HEAP_MIB}M', f'-XX:MaxDirectMemorySize={HEAP_MIB // 2}M',
              f'-XX:ParallelGCThreads={os.cpu_count()}', f'-XX:ConcGCThreads={os.cpu_count()}',
              '-XX:+AlwaysPreTouch', '-Xss256k', '-XX:+UseNUMA',
              '-XX:+PerfDisableSharedMem', '-XX:+UseG1GC', '-XX:+ParallelRefProcEnabled',
              '-XX:MaxTenuringThreshold=2', '-XX:G1HeapRegionSize=16m',
              '-XX:+UnlockExperimentalVMOptions', '-XX:G1NewSizePercent=50',
              '-XX:G1RSetUpdatingPauseTimePercent=5', '-XX:MaxGCPauseMillis=300',
              '-XX:InitiatingHeapOccupancyPercent=70')
CLIENT_FLAGS = ('-Xms512m', '-Xmx2g')
NODE_PROPERTIES = {
    'cassandra-foreground': 'yes', 'cassandra.jmx.local.port': JMX_PORT,
    'cassandra.ring_delay_ms': 100, 'cassandra.skip_wait_for_gossip_to_settle': 0,
    'cassandra.superuser_setup_delay_ms': 0, 'jdk.attach.allowAttachSelf': 'true',
    'io.netty.tryReflectionSetAccessible': 'true',
    'io.netty.allocator.useCacheForAllThreads': 'true', 'io.netty.allocator.maxOrder': 11,
    'java.net.preferIPv4Stack': 'true', 'chronicle.analytics.disable': 'true'}

MEMTABLES = ('{{configurations: {{skiplist: {{class_name: SkipListMemtable}}, '
             'trie: {{class_name: TrieMemtable}}, default: {{inherits: {}}}}}}}')
# The cassandra.yaml that 5.0.8 ships: what it sets to another value than the program's own default.
SHIPPED = {
    'num_tokens': 16, 'allocate_tokens_for_local_replication_factor': 3,
    'partitioner': 'org.apache.cassandra.dht.Murmur3Partitioner',
    'authenticator': '{class_name: AllowAllAuthenticator}',
    'authorizer': '{class_name: AllowAllAuthorizer}',
    'role_manager': '{class_name: CassandraRoleManager}',
    'network_authorizer': '{class_name: AllowAllNetworkAuthorizer}',
    'cidr_authorizer': '{class_name: AllowAllCIDRAuthorizer}',
    'crypto_provider': '[{class_name: org.apache.cassandra.security.DefaultCryptoProvider, '
                       'parameters: [{fail_on_missing_provider: "false"}]}]',
    'seed_provider': '[{class_name: org.apache.cassandra.locator.SimpleSeedProvider, '
                     'parameters: [{seeds: "127.0.0.1:7000"}]}]',
    'endpoint_snitch': 'SimpleSnitch', 'internode_compression': 'dc',
    'inter_dc_tcp_nodelay': 'false', 'cas_contention_timeout': '1000ms',
    'memtable': MEMTABLES.format('skiplist'), 'storage_compatibility_mode': 'CASSANDRA_4',
}
# What the cassandra_latest.yaml that 5.0.8 ships sets otherwise: trie memtables off the heap, BTI
# files, unified compaction.
SHIPPED_LATEST = {
    'memtable': MEMTABLES.format('trie'), 'memtable_allocation_type': 'offheap_objects',
    'sstable': '{selected_format: bti}', 'column_index_size': '4KiB', 'key_cache_size': '0MiB',
    'trickle_fsync': 'true', 'commitlog_disk_access_mode': 'auto', 'concurrent_compactors': 8,
    'uuid_sstable_identifiers_enabled': 'true', 'batchlog_endpoint_strategy': 'dynamic_remote',
    'default_secondary_index': 'sai', 'storage_compatibility_mode': 'NONE',
    'default_compaction': '{class_name: UnifiedCompactionStrategy, parameters: {'
                          'scaling_parameters: T4, max_sstables_to_compact: 64, '
                          'target_sstable_size: 1GiB, sstable_growth: 0.3333333333333333, '
                          'min_sstable_size: 100MiB}}',
}
KIND = {'default': SHIPPED, 'latest': {**SHIPPED, **SHIPPED_LATEST}}
PLACES = {
    'data_file_directories': '[data]', 'commitlog_directory': 'commitlog',
    'saved_caches_directory': 'saved_caches', 'hints_directory': 'hints',
    'cdc_raw_directory': 'cdc_raw', 'listen_address': '127.0.0.1', 'rpc_address': '127.0.0.1',
    'native_transport_port': PORT, 'storage_port': 7000,
}
# What is set otherwise here than in the shipped file: limits that a bench would meet. Compaction may
# use the whole disk, dropped tables leave no snapshot, and a broken node ends.
OURS = {
    'disk_failure_policy': 'die', 'commit_failure_policy': 'die',
    'compaction_throughput': '0MiB/s', 'auto_snapshot': 'false',
    'read_request_timeout': '600s', 'range_request_timeout': '600s',
    'write_request_timeout': '60s', 'request_timeout': '600s', 'truncate_request_timeout': '120s',
    'native_transport_timeout': '600s',
    'batch_size_warn_threshold': '5MiB', 'batch_size_fail_threshold': '50MiB',
}
# A write holds a thread until the log is on disk: with the shipped 32 of them few share a sync, and
# 1,024 cost more time than they save. Of 1, 2 and 5 ms the least was the best.
DURABLE_WRITES, GROUP_WINDOW_MS = 256, 1
SHIPPED_SYNC = {'commitlog_sync': 'periodic', 'commitlog_sync_period': '10000ms'}


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

def own_settings(options):
    """What this program sets otherwise than the file that Cassandra ships."""
    sync = options.get('sync', 'periodic')
    settings = dict(OURS)
    if sync != 'periodic':
        settings['commitlog_sync'] = sync
    writes = int(options.get('writes', 0 if sync == 'periodic' else DURABLE_WRITES))
    if writes:
        settings['concurrent_writes'] = writes
        settings['native_transport_max_threads'] = max(writes, 128)
    if sync == 'group':
        settings['commitlog_sync_group_window'] = f"{options.get('window', GROUP_WINDOW_MS)}ms"
    return settings


def node_settings(options):
    own = own_settings(options)
    sync = {} if 'commitlog_sync' in own else SHIPPED_SYNC
    return {**KIND[options.get('kind', 'default')], **PLACES, **sync, **own}


def write_settings(folder, options):
    conf = os.path.join(folder, 'conf')
    os.makedirs(conf, exist_ok=True)
    with open(os.path.join(conf, 'cassandra.yaml'), 'w', encoding='ascii') as file:
        file.writelines(f'{key}: {value}\n' for key, value in node_settings(options).items())
    shutil.copy(os.path.join(HERE, 'cassandra', 'logback.xml'), conf)


def end_with_parent():
    """In the node, before it runs: it is told to end when this program does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def node_command(folder):
    agent = glob.glob(os.path.join(jars(), 'jamm-*.jar'))[0]
    properties = {'cassandra.config': f'file:{folder}/conf/cassandra.yaml',
                  'logback.configurationFile': f'{folder}/conf/logback.xml',
                  'cassandra.storagedir': folder, **NODE_PROPERTIES}
    return ['java', *NODE_FLAGS, f'-javaagent:{agent}', *java_flags(),
            *(f'-D{key}={value}' for key, value in properties.items()),
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
    with contextlib.suppress(FileNotFoundError):
        os.remove(touched_path(folder))
    started = time.monotonic()
    with open(os.path.join(folder, 'output.log'), 'ab') as log:
        node = subprocess.Popen(node_command(folder), cwd=folder, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log, preexec_fn=end_with_parent,
                                env={**os.environ, **NODE_ENVIRONMENT})
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
        stop(node)


def stop(node):
    if node.poll() is None:
        node.terminate()
    try:
        node.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()


# ------------------------------------------------------------------------------------- Commands

def node_pid(folder):
    with open(os.path.join(folder, 'node.pid'), encoding='ascii') as file:
        return int(file.read())


def evict(folder):
    """Ask the kernel to forget the pages of the data files that it has cached."""
    os.sync()
    for top, _, names in os.walk(os.path.join(folder, 'data', 'peer')):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # the node removes files while it runs
                fd = os.open(os.path.join(top, name), os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)


def folder_bytes(folder):
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.path.getsize(os.path.join(top, name))
    return total


def answer_client(line, folder, to_client):
    """What the client asks of this program: it can neither drop pages nor see the node's folder."""
    if line['event'] == 'evict':
        evict(folder)
        to_client.write('done\n')
        to_client.flush()
    elif line['event'] == 'live':
        say(measure='size', bytes=line['bytes'], other_bytes=folder_bytes(folder) - line['bytes'],
            files=line['files'])


def touched_path(folder):
    """Exists once a client has used the table since the node started."""
    return os.path.join(folder, 'touched')


def client(command, folder, rows, words):
    if command == 'ask' and not os.path.exists(touched_path(folder)):
        words = [*words, 'cold=1'] if 'warm=0' in words else words
    with open(touched_path(folder), 'w', encoding='ascii'):
        pass
    words = ['java', *CLIENT_FLAGS, '-cp', f'{jars()}/*',
             '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
             f'-Dlogback.configurationFile={folder}/conf/logback.xml',
             os.path.join(HERE, 'CassandraClient.java'), command, rows, str(node_pid(folder)),
             f'jmx={JMX_PORT}', *words]
    with subprocess.Popen(words, cwd=folder, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        for text in process.stdout:
            line = json.loads(text)
            if 'event' in line:
                answer_client(line, folder, process.stdin)
            else:
                say(**line)
    if process.returncode != 0:
        sys.exit(f'cassandra: the client ended with exit code {process.returncode}')


def jar_version(name):
    """Of the jar whose file name begins so."""
    path = glob.glob(os.path.join(jars(), f'{name}-[0-9]*.jar'))[0]
    return re.search(r'-([0-9][0-9.]*[0-9])', os.path.basename(path)).group(1)


def cassandra_version():
    """As the program itself says, not the file's name."""
    jar = glob.glob(os.path.join(jars(), 'cassandra-all-*.jar'))[0]
    with zipfile.ZipFile(jar) as archive:
        text = archive.read('org/apache/cassandra/config/version.properties').decode('ascii')
    return re.search(r'^CassandraVersion=(.*)$', text, re.MULTILINE).group(1).strip()


def java_version():
    output = subprocess.run(['java', '-version'], check=True, capture_output=True, text=True).stderr
    return next(line for line in output.splitlines() if 'build' in line)


def describe(options):
    durable = 'on disk within 10 s' if options.get('sync', 'periodic') == 'periodic' \
        else 'on disk when acknowledged'
    own = ', '.join(f'{key} {value}' for key, value in own_settings(options).items())
    say(peer='cassandra', version=cassandra_version(), parallel=False, merges=True,
        many_writers=True, commits=True, commit_sizes=[1, 100], bulk_commit=100, server=True,
        java=java_version(), jvm_flags=' '.join(NODE_FLAGS), client_flags=' '.join(CLIENT_FLAGS),
        driver=f"cassandra-driver-core {jar_version('cassandra-driver-core')}",
        settings=f"{options.get('kind', 'default')} configuration as shipped, but for folders, "
                 f'loopback addresses and: {own}; commit log {durable}, '
                 f"{options.get('compression', 'lz4')} compression; heap {HEAP_MIB} MiB (half of the "
                 "machine's memory, as its start script chooses), reserved at start; no assertions "
                 '(-ea), no log of the collector, no hints to the compiler, no wait for other nodes '
                 'at start; replication 1, Java driver over loopback, unlogged batches hold rows of '
                 'one partition')


def main():
    if len(sys.argv) < 2:
        sys.exit(f'usage: {sys.argv[0]} COMMAND [FOLDER ROWS] [key=value...]')
    command = sys.argv[1]
    if command == 'describe':
        describe(parse_options(sys.argv[2:]))
    elif command == 'serve':
        serve(sys.argv[2], parse_options(sys.argv[3:]))
    else:
        client(command, os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3]), sys.argv[4:])


if __name__ == '__main__':
    main()
