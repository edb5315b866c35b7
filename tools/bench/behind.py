"""Why varve is behind where it is, and what it would take: written by hand, by measure (figures.py).
The report puts it beside the figures; a measure that is behind without an entry says so. Read it again
whenever the figures change."""

REASONS = {
    'size_flushed': (
        'varve encodes each column of up to 1,024 rows by itself and has no general compressor: '
        'doubles that are no short decimal numbers stay near eight bytes, where zstd may find '
        'bytes that repeat.',
        'A general compressor for such columns and for text, where they are read rarely.'),
    'size_total': (
        'Beside its data varve keeps the segment of the log that is in use, one that is made ahead, '
        'and a file that keeps room for a full disk: some `wal_segment_bytes` each, however little '
        'the store holds. They outweigh small data, and do not grow with it.',
        'A smaller `wal_segment_bytes`.'),
    'amplification': (
        'Segments of the log are written full of zeros before they are used, so that a record is '
        'never the one that makes a file grow; with the record itself and the flush that makes '
        'three writes of a row. A file that keeps room for a full disk is written besides.',
        'Using a segment again that is no longer needed, instead of making another one.'),
    'memory_load': (
        'Rows stay in memory until a share of the memory limit is full, however small the set is.',
        'A smaller `memory_limit`, if that counts more than fewer files.'),
    'memory_slices': (
        'The cache of index pages and encoded columns takes what it is given, up to three quarters of the '
        'memory limit; a cache of pages alone needs less.',
        'A smaller `memory_limit`.'),
    'first_answer': (
        'A slice of rows in memory merges what each commit left there.',
        'Nothing that would be worth its price: it is paid once, before the first flush.'),
    'slice_p99': (
        'The slowest of a hundred slices find vectors that are not decoded yet: of every column '
        'another one, where a store by rows reads one block.',
        'Decoding only the rows that are asked for.'),
    'reopen': (
        'varve reads back its log since the last flush, checks every page and record, and makes the '
        'rows in memory anew; an engine that reads its log page by page on demand, or has rows in '
        'its own files after each commit, has less to do before the first answer.',
        'A flush after less log (`memtable_bytes`), or reading it back in several threads.'),
    'cold_slice': (
        'A slice reads a vector of up to 1,024 values of each column: as many reads as there are '
        'columns, where an engine that stores by rows reads one block.',
        'Smaller vectors; vectors of all columns side by side in the file.'),
    'cold_total': (
        'The first question reads the end of the log and the directory of every file.',
        'Fewer and larger files: merging.'),
    'latest': (
        'Of each partition the last vectors of the columns are decoded for one row.',
        'Keeping the last row of each partition in the file\'s directory.'),
    'late_size': (
        'As for the size on disk; and late rows lie in files of their own, with smaller vectors.',
        'Merging of files that overlap in time.'),
}
# Measures that are behind for another one's reason.
SAME_REASON = {'size_merged': 'size_flushed', 'amplification_merged': 'amplification',
               'memory_questions': 'memory_slices',
               'slice_p999': 'slice_p99', 'hour_p99': 'slice_p99', 'cold_hourly_all': 'cold_total'}


# Goals that are not met although varve is ahead, or by a measure without a reason above, by their text.
GOAL_REASONS = {}


def reason_of_goal(goal):
    why = GOAL_REASONS.get(goal.text)
    return why or ' '.join(reason(goal.key) or ('Not looked into yet.',))


def reason(key):
    """Why, and what it would take; or None."""
    return REASONS.get(key) or REASONS.get(SAME_REASON.get(key))
