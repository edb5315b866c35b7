"""DuckDB: one table without an index, rows inserted from Arrow, one transaction a commit."""

import os

import duckdb

import peer_protocol

TYPES = {'f64': 'DOUBLE', 'i32': 'INTEGER', 'text': 'VARCHAR'}


class Client(peer_protocol.SqlClient):
    bucket = "date_trunc('hour', ts)"
    latest_order = 'epoch_ms(ts) * 65536 + seq'
    milliseconds = 'epoch_ms(max(ts))'

    def __init__(self, rows, connection):
        super().__init__(rows)
        self.connection = connection

    def query(self, sql):
        return self.connection.sql(sql).to_arrow_table()

    def moment(self, ms):
        return f'make_timestamp_ms({ms})'


class DuckdbPeer(peer_protocol.Peer):
    name = 'duckdb'
    bulk_commit = 1000000
    version = duckdb.__version__

    def describe(self):
        return ('default memory limit, no index, no upsert, rows from Arrow, checkpoint at the end of '
                'the load')

    def open(self, create):
        self.connection = duckdb.connect(os.path.join(self.folder, 'rows.duckdb'),
                                         config={'threads': self.options['threads']})
        if create:
            columns = ', '.join(f'{name} {TYPES[kind]}' for name, kind in self.rows.columns)
            self.connection.execute(
                f'CREATE TABLE {self.rows.set} (name VARCHAR, ts TIMESTAMP_MS, {columns})')

    def close(self):
        self.connection.close()

    def commit(self, table):
        self.connection.register('given', table)
        self.connection.execute(f'INSERT INTO {self.rows.set} SELECT * FROM given')

    def flush(self):
        self.connection.execute('CHECKPOINT')

    def size(self):
        return peer_protocol.folder_size(self.folder, lambda name: name.endswith('.duckdb'))

    def client(self):
        return Client(self.rows, self.connection.cursor())


if __name__ == '__main__':
    peer_protocol.main(DuckdbPeer)
