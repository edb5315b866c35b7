"""Parquet by pyarrow: one file, sorted by key, zstd; questions by its scanner and its group-by."""

import os

import pyarrow
import pyarrow.acero  # what groups and sorts: pyarrow imports it when it is first used, within the clock
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import peer_protocol

ROW_GROUP_ROWS = 131072


def last_of_names(batch):
    """The last of each run of rows that have one name."""
    names = batch['name']
    changes = pc.indices_nonzero(pc.not_equal(names[:-1], names[1:]))
    end = pyarrow.array([batch.num_rows - 1], changes.type)
    return batch.take(pyarrow.concat_arrays([changes, end]))


class Client:
    def __init__(self, rows, path):
        self.rows = rows
        self.data = ds.dataset(path)

    def _slice(self, asked, columns):
        name, start, end = asked
        kind = pyarrow.timestamp('ms')
        return self.data.to_table(columns=columns, filter=(
            (pc.field('name') == name) & (pc.field('ts') >= pyarrow.scalar(start, kind))
            & (pc.field('ts') < pyarrow.scalar(end, kind))))

    def slice(self, asked):
        table = self._slice(asked, None)
        return peer_protocol.whole_rows(self.rows, table)

    def hour(self, asked):
        table = self._slice(asked, [self.rows.measured])
        return [table.num_rows, pc.mean(table[self.rows.measured]).as_py()]

    def hourly(self, name):
        m = self.rows.measured
        table = self.data.to_table(columns=['name', 'ts', m],
                                   filter=pc.field('name') == name if name else None)
        bucket = pc.divide(table['ts'].cast(pyarrow.int64()), peer_protocol.HOUR_MS)
        groups = table.set_column(1, 'ts', bucket).group_by(['name', 'ts']).aggregate(
            [(m, 'count'), (m, 'min'), (m, 'max'), (m, 'sum')])
        return [groups.num_rows, *peer_protocol.sums(
            groups, [f'{m}_{function}' for function in ('count', 'min', 'max', 'sum')])]

    def by_partition(self):
        m = self.rows.measured
        groups = self.data.to_table(columns=['name', m]).group_by('name').aggregate(
            [(m, 'count'), (m, 'mean')])
        return [groups.num_rows, *peer_protocol.sums(groups, [f'{m}_count', f'{m}_mean'])]

    def total(self):
        return [peer_protocol.column_sum(self.data.to_table(columns=[self.rows.measured]),
                                         self.rows.measured)]

    def latest(self):
        # The file is sorted, so the last row of a name in the file is its latest. A name may go on in
        # the next batch.
        ends = [last_of_names(batch) for batch in self.data.to_batches() if batch.num_rows]
        return peer_protocol.with_times(self.rows, last_of_names(pyarrow.concat_batches(ends)))

    def scan(self):
        return peer_protocol.all_rows(self.rows, self.data.to_batches())


class ParquetPeer(peer_protocol.Peer):
    name = 'parquet'
    version = f'pyarrow {pyarrow.__version__}'
    commits = False
    slice_threads = len(os.sched_getaffinity(0))

    def describe(self):
        return (f'zstd level 3, row groups of {ROW_GROUP_ROWS} rows, sorted by key before writing '
                '(within the clock), one file, synced at its end')

    def open(self, create):
        pyarrow.set_cpu_count(self.options['threads'])
        self.path = os.path.join(self.folder, 'rows.parquet')

    def close(self):
        pass

    def commit(self, table):
        keys = [('name', 'ascending'), ('ts', 'ascending')]
        if self.rows.key:
            keys.append((self.rows.key, 'ascending'))
        pq.write_table(table.sort_by(keys), self.path, compression='zstd', compression_level=3,
                       row_group_size=ROW_GROUP_ROWS)
        peer_protocol.synced(self.path)

    def size(self):
        return peer_protocol.folder_size(self.folder, lambda name: name.endswith('.parquet'))

    def client(self):
        return Client(self.rows, self.path)


if __name__ == '__main__':
    peer_protocol.main(ParquetPeer)
