"""DuckDB: one table without an index, one transaction a commit. Small commits go through an appender,
large ones come from Arrow; slices and hours are prepared once."""

import datetime
import os

import duckdb
import pyarrow

import peer_protocol

ROW_GROUP_ROWS = 122880
APPENDED_ROWS = 300  # in commits up to these, an appender is sooner than Arrow
BATCH_ROWS = 16384   # of an answer that is read as it comes
EPOCH = datetime.datetime(1970, 1, 1)
TYPES = {'f64': 'DOUBLE', 'i32': 'INTEGER', 'text': 'VARCHAR'}


class Client(peer_protocol.SqlClient):
    bucket = "date_trunc('hour', ts)"

    def __init__(self, rows, connection):
        super().__init__(rows)
        self.connection = connection
        self.slices = self._prepare('*')
        self.hours = self._prepare(f'count(*), avg({rows.measured})')
        self.numbers = [name for name, kind in rows.columns if kind != 'text' and name != rows.key]
        self.texts = [name for name, kind in rows.columns if kind == 'text']

    def _prepare(self, what):
        return self.connection.extract_statements(
            f'SELECT {what} FROM {self.rows.set} WHERE name = $1 AND ts >= $2 AND ts < $3')[0]

    def _ask(self, statement, asked):
        name, start, end = asked
        return self.connection.execute(statement, (
            name, EPOCH + datetime.timedelta(milliseconds=start),
            EPOCH + datetime.timedelta(milliseconds=end)))

    def query(self, sql):
        return self.connection.sql(sql).to_arrow_table()

    def batches(self, sql):
        return self.connection.sql(sql).to_arrow_reader(BATCH_ROWS)

    def latest_rows(self):
        # Of rows of one time the last by the key, of which there are few.
        last = (f' QUALIFY row_number() OVER (PARTITION BY name ORDER BY {self.rows.key} DESC) = 1'
                if self.rows.key else '')
        return (f'SELECT * FROM {self.rows.set} WHERE (name, ts) IN '
                f'(SELECT name, max(ts) FROM {self.rows.set} GROUP BY name){last}')

    def slice(self, asked):
        # For a few rows NumPy's arrays are made sooner than Arrow's.
        columns = self._ask(self.slices, asked).fetchnumpy()
        sums = {name: float(columns[name].sum()) for name in self.numbers}
        texts = sum(len(text.encode()) for name in self.texts for text in columns[name])
        return [len(columns['name']), sums[self.rows.measured], sum(sums.values()), texts]

    def hour(self, asked):
        return list(self._ask(self.hours, asked).fetchone())


class DuckdbPeer(peer_protocol.Peer):
    name = 'duckdb'
    merges = True
    bulk_commit = 10 * ROW_GROUP_ROWS
    version = duckdb.__version__

    def describe(self):
        return ('driven from Python, default memory limit, preserve_insertion_order=false, no index, '
                'no upsert; commits up to '
                f'{APPENDED_ROWS} rows through an appender, larger ones from Arrow, checkpoint at '
                'the end of the load; merging writes the table anew in the order of the key, as one '
                'does before reading much; slices and hours prepared with parameters')

    def _path(self, name):
        return os.path.join(self.folder, f'{name}.duckdb')

    def open(self, create):
        self.connection = duckdb.connect(self._path('rows'), config={
            'threads': self.options['threads'], 'preserve_insertion_order': False})
        if create:
            columns = ', '.join(f'{name} {TYPES[kind]}' for name, kind in self.rows.columns)
            self.connection.execute(
                f'CREATE TABLE {self.rows.set} (name VARCHAR, ts TIMESTAMP_MS, {columns})')
        self.appender = self.connection.appender(self.rows.set)

    def close(self):
        self.appender = None
        self.connection.close()

    def commit(self, table):
        if table.num_rows <= APPENDED_ROWS:
            self.appender.append_rows(peer_protocol.by_rows(table))
            self.appender.flush()
            return
        # A thread takes a batch at a time.
        self.connection.register('given', pyarrow.Table.from_batches(
            table.to_batches(max_chunksize=ROW_GROUP_ROWS)))
        self.connection.execute(f'INSERT INTO {self.rows.set} SELECT * FROM given')

    def flush(self):
        self.connection.execute('CHECKPOINT')

    def merge(self):
        """It has no operation for that: another file, which then takes the place of the first."""
        key = f', {self.rows.key}' if self.rows.key else ''
        self.appender = None
        self.connection.execute('SET preserve_insertion_order = true')
        self.connection.execute(f"ATTACH '{self._path('sorted')}' AS sorted")
        self.connection.execute(f'CREATE TABLE sorted.{self.rows.set} AS SELECT * FROM {self.rows.set} '
                                f'ORDER BY name, ts{key}')
        self.connection.execute('DETACH sorted')
        self.connection.close()
        os.replace(self._path('sorted'), self._path('rows'))
        self.open(False)

    def size(self):
        return peer_protocol.folder_size(self.folder, lambda name: name.endswith('.duckdb'))

    def client(self):
        return Client(self.rows, self.connection.cursor())


if __name__ == '__main__':
    peer_protocol.main(DuckdbPeer)
