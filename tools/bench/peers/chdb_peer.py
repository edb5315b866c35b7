"""ClickHouse in the process (chdb): a MergeTree in the order of the key, with its default codecs or
with those that make it smallest, every insert synced. Small commits are text, large ones come from
Arrow."""

import chdb
import pandas  # noqa: F401 - chdb imports it with its first answer in Arrow, within the clock
import pyarrow.dataset  # noqa: F401 - and this with the first rows that come from Arrow
from chdb.session import Session

import peer_protocol

TEXT_ROWS = 300            # in commits up to these, VALUES are sooner than Arrow
GRANULE_ROWS = 8192        # that it reads at least
STREAMED_ROWS = 3_000_000  # of a larger set the rows are not kept all at once, though that is sooner
TYPES = {'lz4': {'f64': 'Float64', 'i32': 'Int32', 'text': 'LowCardinality(String)',
                 'time': "DateTime64(3, 'UTC')"},
         'zstd': {'f64': 'Float64 CODEC(ZSTD)', 'i32': 'Int32 CODEC(T64, ZSTD)',
                  'text': 'LowCardinality(String) CODEC(ZSTD)',
                  'time': "DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD)"}}
CODECS = {'lz4': 'its default codec (LZ4)',
          'zstd': 'doubles and text ZSTD, integers T64 + ZSTD, times DoubleDelta + ZSTD'}


class Client(peer_protocol.SqlClient):
    bucket = 'toStartOfHour(ts)'

    def __init__(self, rows, session, threads):
        super().__init__(rows)
        self.session, self.threads = session, threads

    def _limited(self, sql):
        return f'{sql} SETTINGS max_threads = {self.threads}'

    def query(self, sql, form='ArrowTable', **parameters):
        return self.session.query(self._limited(sql), form, params=parameters)

    def batches(self, sql):
        if self.rows.n <= STREAMED_ROWS:
            return [self.query(sql)]
        return self.session.send_query(self._limited(sql), 'Arrow').record_batch()

    def _ask(self, what, asked, form):
        name, start, end = asked
        return self.query(
            f'SELECT {what} FROM {self.rows.set} WHERE name = {{name:String}} '
            'AND ts >= fromUnixTimestamp64Milli({start:Int64}) '
            'AND ts < fromUnixTimestamp64Milli({end:Int64})', form, name=name, start=start, end=end)

    def latest_rows(self):
        table, key = self.rows.set, f', {self.rows.key} DESC' if self.rows.key else ''
        # Few partitions: once the times are known, the index leads to the granules of these rows.
        where = (f'WHERE (name, ts) IN (SELECT name, max(ts) FROM {table} GROUP BY name) '
                 if len(self.rows.names) * GRANULE_ROWS < self.rows.n else '')
        return f'SELECT * FROM {table} {where}ORDER BY name DESC, ts DESC{key} LIMIT 1 BY name'

    def slice(self, asked):
        return peer_protocol.whole_rows(self.rows, self._ask('*', asked, 'ArrowTable'))

    def hour(self, asked):
        line = self._ask(f'count(), avg({self.rows.measured})', asked, 'CSV').data()
        return [float(value) for value in line.split(',')]


class ChdbPeer(peer_protocol.Peer):
    name = 'chdb'
    version = f'{chdb.__version__} (ClickHouse {chdb.engine_version})'
    merges = True
    bulk_commit = 1000000

    def __init__(self, folder, rows, options):
        super().__init__(folder, rows, options)
        self.compression = options['compression'] or 'lz4'
        self.sessions = []  # the peer's own, and one of each client

    def describe(self):
        return (f'driven from Python, MergeTree ORDER BY key, {CODECS[self.compression]}, '
                'fsync_after_insert, fsync_part_directory; commits up to '
                f'{TEXT_ROWS} rows as VALUES, larger ones from Arrow; slices and hours with query '
                'parameters; answers in Arrow not compressed; each client has a session')

    def _connect(self, create=False):
        """A session: several of one folder work side by side, each with its own USE and SET."""
        session = Session(self.folder)
        self.sessions.append(session)
        if create:
            session.query('CREATE DATABASE peer')
        session.query('USE peer')
        session.query("SET output_format_arrow_compression_method = 'none'")
        return session

    def open(self, create):
        self.session = self._connect(create)
        if create:
            types = TYPES[self.compression]
            columns = ', '.join(f'{name} {types[kind]}' for name, kind in self.rows.columns)
            key = f', {self.rows.key}' if self.rows.key else ''
            self.session.query(
                f'CREATE TABLE {self.rows.set} (name LowCardinality(String), '
                f"ts {types['time']}, {columns}) ENGINE = MergeTree ORDER BY (name, ts{key}) "
                'SETTINGS fsync_after_insert = 1, fsync_part_directory = 1')

    def close(self):
        while self.sessions:
            self.sessions.pop().close()

    def _insert_text(self, table):
        kinds = [repr if kind != 'text' else "'{}'".format for _, kind in self.rows.columns]
        self.session.query(f'INSERT INTO {self.rows.set} VALUES ' + ','.join(
            f"('{name}','{ts.isoformat(sep=' ', timespec='milliseconds')}',"
            + ','.join(kind(value) for kind, value in zip(kinds, values)) + ')'
            for name, ts, *values in peer_protocol.by_rows(table)))

    def commit(self, table):
        if table.num_rows <= TEXT_ROWS:
            self._insert_text(table)
            return
        # The engine finds the variable that Python() names in the frames above it.
        threads = self.options['threads']
        self.session.query(f'INSERT INTO {self.rows.set} SELECT * FROM Python(table) SETTINGS '
                           f'max_threads = {threads}, max_insert_threads = {threads}')

    def merge(self):
        self.session.query(f'OPTIMIZE TABLE {self.rows.set} FINAL')

    def size(self):
        self.open(False)
        table = self.session.query('SELECT sum(bytes_on_disk) AS s FROM system.parts WHERE active '
                                   f"AND table = '{self.rows.set}'", 'ArrowTable')
        data = int(peer_protocol.column_sum(table, 's'))
        self.close()
        return data, sum(peer_protocol.folder_size(self.folder, lambda _: False)) - data

    def client(self):
        return Client(self.rows, self._connect(), self.options['threads'])


if __name__ == '__main__':
    peer_protocol.main(ChdbPeer)
