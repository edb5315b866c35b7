"""ClickHouse in the process (chdb): a MergeTree in the order of the key, codecs as its manual
advises for time series, every insert synced. Small commits are text, large ones come from Arrow."""

import chdb
from chdb.session import Session

import peer_protocol

TEXT_ROWS = 300  # in commits up to these, VALUES are sooner than Arrow
TYPES = {'f64': 'Float64 CODEC(Gorilla, ZSTD)', 'i32': 'Int32 CODEC(T64, ZSTD)',
         'text': 'LowCardinality(String)'}


class Client(peer_protocol.SqlClient):
    bucket = 'toStartOfHour(ts)'
    arg_max = 'argMax'
    latest_order = '(ts, seq)'
    milliseconds = 'toUnixTimestamp64Milli(max(ts))'

    def __init__(self, rows, session, threads):
        super().__init__(rows)
        self.session, self.threads = session, threads

    def query(self, sql, form='ArrowTable', **parameters):
        return self.session.query(f'{sql} SETTINGS max_threads = {self.threads}', form,
                                  params=parameters)

    def _ask(self, what, asked, form):
        name, start, end = asked
        return self.query(
            f'SELECT {what} FROM {self.rows.set} WHERE name = {{name:String}} '
            'AND ts >= fromUnixTimestamp64Milli({start:Int64}) '
            'AND ts < fromUnixTimestamp64Milli({end:Int64})', form, name=name, start=start, end=end)

    def slice(self, asked):
        return peer_protocol.whole_rows(self.rows, self._ask('*', asked, 'ArrowTable'))

    def hour(self, asked):
        line = self._ask(f'count(), avg({self.rows.measured})', asked, 'CSV').data()
        return [float(value) for value in line.split(',')]


class ChdbPeer(peer_protocol.Peer):
    name = 'chdb'
    version = f'{chdb.__version__} (ClickHouse {chdb.engine_version})'
    merges = True
    crowd = False
    bulk_commit = 1000000

    def describe(self):
        return ('driven from Python, MergeTree ORDER BY key, doubles Gorilla + ZSTD, times DoubleDelta '
                '+ ZSTD, fsync_after_insert, fsync_part_directory; commits up to '
                f'{TEXT_ROWS} rows as VALUES, larger ones from Arrow; slices and hours with query '
                'parameters')

    def open(self, create):
        self.session = Session(self.folder)
        if create:
            columns = ', '.join(f'{name} {TYPES[kind]}' for name, kind in self.rows.columns)
            key = f', {self.rows.key}' if self.rows.key else ''
            self.session.query('CREATE DATABASE peer')
            self.session.query(
                f'CREATE TABLE peer.{self.rows.set} (name LowCardinality(String), '
                f"ts DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD), {columns}) "
                f'ENGINE = MergeTree ORDER BY (name, ts{key}) '
                'SETTINGS fsync_after_insert = 1, fsync_part_directory = 1')
        self.session.query('USE peer')

    def close(self):
        self.session.close()

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
        return Client(self.rows, self.session, self.options['threads'])


if __name__ == '__main__':
    peer_protocol.main(ChdbPeer)
