"""polars: all rows in memory, sorted by key; between commands they lie in an Arrow IPC file that
is read whole when the peer is opened."""

import os
import sys

# polars reads this once, when it is imported.
os.environ['POLARS_MAX_THREADS'] = next(
    (word.partition('=')[2] for word in sys.argv if word.startswith('threads=')), '1')

import polars as pl  # noqa: E402

import peer_protocol  # noqa: E402


class Client:
    def __init__(self, rows, frame):
        self.rows, self.frame = rows, frame

    def _slice(self, asked):
        name, start, end = asked
        kind = pl.Datetime('ms')
        return self.frame.lazy().filter(
            (pl.col('name') == name) & (pl.col('ts') >= pl.lit(start).cast(kind))
            & (pl.col('ts') < pl.lit(end).cast(kind)))

    def slice(self, asked):
        return self._whole(self._slice(asked).collect())

    def _whole(self, frame):
        """What shows that every column of these rows was read: peer.h, slice and scan."""
        values = [(name, kind) for name, kind in self.rows.columns if name != self.rows.key]
        numbers = [name for name, kind in values if kind != 'text']
        texts = [name for name, kind in values if kind == 'text']
        wide = [name for name, kind in values if kind == 'i32']  # sums keep a column's type
        row = frame.select(pl.len().alias('rows'),
                           pl.col([name for name in numbers if name not in wide]).sum(),
                           pl.col(wide).cast(pl.Int64).sum(),
                           pl.col(texts).str.len_bytes().sum()).row(0, named=True)
        return [row['rows'], row[self.rows.measured], sum(row[name] for name in numbers),
                sum(row[name] for name in texts)]

    def hour(self, asked):
        m = pl.col(self.rows.measured)
        return list(self._slice(asked).select(pl.len(), m.mean().alias('a')).collect().row(0))

    def hourly(self, name):
        m = pl.col(self.rows.measured)
        frame = self.frame.lazy()
        if name:
            frame = frame.filter(pl.col('name') == name)
        groups = frame.group_by('name', pl.col('ts').dt.truncate('1h')).agg(
            pl.len().alias('n'), m.min().alias('lo'), m.max().alias('hi'),
            m.sum().alias('total')).collect()
        return [groups.height, *(groups[name].sum() for name in ('n', 'lo', 'hi', 'total'))]

    def by_partition(self):
        groups = self.frame.group_by('name').agg(
            pl.len().alias('n'), pl.col(self.rows.measured).mean().alias('a'))
        return [groups.height, groups['n'].sum(), groups['a'].sum()]

    def total(self):
        return [self.frame[self.rows.measured].sum()]

    def latest(self):
        # Rows are sorted, so the last of a name is its latest.
        frame = self.frame.unique(subset='name', keep='last')
        return [*self._whole(frame), frame['ts'].dt.epoch('ms').sum()]

    def scan(self):
        # Every column is read once; the frame itself would be handed over without any work.
        return self._whole(self.frame)


class PolarsPeer(peer_protocol.Peer):
    name = 'polars'
    version = pl.__version__
    commits = False
    slice_threads = len(os.sched_getaffinity(0))
    in_memory = True

    def describe(self):
        return ("all rows in memory sorted by key (within the load's clock), kept in an Arrow IPC "
                'file with zstd')

    def open(self, create):
        self.path = os.path.join(self.folder, 'rows.arrow')
        self.frame = None if create else pl.read_ipc(self.path)

    def close(self):
        self.frame = None

    def commit(self, table):
        keys = ['name', 'ts'] + ([self.rows.key] if self.rows.key else [])
        self.frame = pl.from_arrow(table).sort(keys)
        self.frame.write_ipc(self.path, compression='zstd')
        peer_protocol.synced(self.path)

    def size(self):
        return peer_protocol.folder_size(self.folder, lambda name: name.endswith('.arrow'))

    def client(self):
        return Client(self.rows, self.frame)


if __name__ == '__main__':
    peer_protocol.main(PolarsPeer)
