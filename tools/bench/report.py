"""Writes BENCHMARKS.md and charts from the lines of results.jsonl.

    report.py OUT     once more, from OUT/results.jsonl
"""

import dataclasses
import itertools
import os
import statistics
import sys

import answers
import behind
import figures
import machine
import plan
import results

try:
    import charts
except ImportError:  # no matplotlib: the report says so
    charts = None

MARK = '†'  # of figures that others disturbed
ABSENT = '-'
ORDER = {configuration.label: at for at, configuration in enumerate(plan.CONFIGURATIONS)}


# ------------------------------------------------------------------------------------- Text

def number(value):
    """Three digits, or all before the point."""
    value = value if value >= 1000 else float(f'{value:.3g}')
    if value >= 100 or value == 0:
        return f'{value:,.0f}'
    if value >= 10:
        return f'{value:.1f}'
    return f'{value:.2f}' if value >= 1 else f'{value:.3g}'


def times(ratio):
    return f'{number(ratio)}x'


def table_lines(head, rows):
    return ['', '| ' + ' | '.join(head) + ' |', '|---' * len(head) + '|',
            *('| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows), '']


def with_range(figure, scale):
    text = number(figure.median / scale)
    if figure.n > 1:
        text += f' ({number(min(figure.values) / scale)} - {number(max(figure.values) / scale)})'
    return text + (MARK if figure.disturbed else '')


def cell(table, row, measure):
    figure = table.figure(row, measure.key)
    if figure is None:
        return ABSENT
    ratio = table.ratio(row, measure.key)
    return with_range(figure, measure.scale) + (f' **{times(ratio)}**' if ratio else '')


def runs_text(counts):
    return str(counts[0]) if len(set(counts)) == 1 else f'{min(counts)} - {max(counts)}'


def rows_in_order(table):
    return sorted(table.raw, key=lambda row: (ORDER.get(row.label, 99), row.late or 0,
                                              row.every_value, row.threads))


def head_of(measure):
    return f'{measure.title}, {measure.unit}'


# ----------------------------------------------------------------------------- The beginning

def goal_lines(tables):
    """Each goal, set by set; also those whose peers were not measured."""
    rows, missed = [], {}
    for goal in figures.GOALS:
        measure = figures.MEASURES[goal.key]
        before = len(rows)
        for table in tables:
            reached = table.reached(goal)
            if reached is None:
                continue
            verdict = 'met' if reached.ratio >= goal.least else '**not met**'
            if reached.ratio < goal.least:
                missed[goal.text] = behind.reason_of_goal(goal)
            mark = MARK if reached.mine.disturbed or reached.theirs.disturbed else ''
            rows.append([goal.text, table.title,
                         f'{number(reached.mine.median / measure.scale)} {measure.unit}',
                         f'{number(reached.theirs.median / measure.scale)} {measure.unit} '
                         f'({reached.row})', times(reached.ratio) + mark, times(goal.least), verdict])
        if len(rows) == before:
            rows.append([goal.text, ABSENT, ABSENT, ABSENT, ABSENT, times(goal.least), 'not measured'])
    return ['## Goals', '',
            'How many times better varve is than the best of the engines that a goal is about, by '
            'medians. More of everything, and where varve is behind, below.',
            *table_lines(['goal', 'rows', 'varve', 'the other', 'reached', 'wanted', ''], rows),
            *(f'- *{text[0].upper()}{text[1:]}:* {why}' for text, why in missed.items()), '']


def head_lines():
    return ['# Benchmarks', '',
            'varve beside Cassandra, and beside what one would pick instead: the same rows, the same '
            'durability, the same questions, the same machine, one engine at a time. Made by '
            '`sh tools/bench/run.sh`; `tools/bench/README.md` says how to repeat it.', '']


def question_seconds(chosen):
    """A tenth of the time box: tools/bench/peers/README.md."""
    return next((facts['fingerprint']['seconds'] for facts in chosen.peers.values()), 0) / 10


def warm(chosen):
    """How long questions were asked before the clock started."""
    given = next((facts['fingerprint'].get('warm_seconds') for facts in chosen.peers.values()), None)
    if given is not None:
        return f'{given:g} s'
    return f'{plan.WARM_SECONDS:g} s (servers: {plan.SERVER_WARM_SECONDS:g} s)'


def method_lines(chosen):
    facts = chosen.sittings[-1]['machine']
    n_disturbed = len(chosen.disturbed)
    lines = ['## How it was measured', '',
             '- One program wrote the rows that all engines read. An engine\'s answers were compared '
             'with all others\' before its first time counted, and again with every time: slices and '
             'whole scans by the number of rows and sums over every column.',
             '- Each figure is the median of n runs, with the least and the greatest in brackets; '
             'of latencies each run gives a percentile of at least 3,000 samples (p99.9) or 100 '
             '(p99). **Bold** says how many times better varve did with as many threads, if it has '
             'use for them; below 1 varve is behind. A dash: there is no such operation, or it was not '
             'measured (*What is not here* says why).',
             f'- A question to many rows was repeated for {question_seconds(chosen):g} s in each run, '
             'whose figure is the median; of embedded engines the store was opened anew for each run.',
             '- As a rule five runs of embedded engines and three of Cassandra; beyond thirty million rows '
             'three of everything, and one load.',
             '- Before the clock started every slice was asked once, as far as that took no more than '
             f'{warm(chosen)} (of Cassandra slices were asked for as long): caches fill, and both Java '
             'machines compile what runs. Other questions were asked once; of Cassandra in each way there '
             'is to ask them, for at least as long and until two answers took the same to 10 % (but no '
             'longer than three times that, and twice if an answer takes longer), and the soonest way was '
             'measured. A load into Cassandra was preceded by one into another table, which was also '
             'asked and flushed.',
             '- varve, RocksDB and SQLite may use 512 MiB (SQLite: each connection) for caches and '
             'rows that are not in files yet; the others keep the limits they come with.',
             '- *Just started* means that the kernel of this machine had no page of the store in its '
             'cache. If it is a virtual one, its host may have had.',
             '- Cassandra ran on loopback, client and server on the same cores. Its processor time '
             'is that of the node alone. All its configurations were measured for bars; other sets '
             'and sizes, late rows and stores just started with the durable configuration named in '
             'their tables.',
             f'- A run of any engine began when a fixed piece of work took at most '
             f'{machine.MOST_SLOW:.0%} longer than typically, which was waited for, up to '
             f'{machine.RUN_PATIENCE_SECONDS} s (servers: before they were started). For each unit of '
             f'work the processor time used by anything else on the machine was recorded, and what its '
             f'host took away from it. Where either was beyond {results.MOST_FOREIGN:.0%} of all cores, '
             f'or half of the runs began on a slower machine all the same, figures are marked {MARK}'
             + (f': {n_disturbed} of {len(chosen.units)} units.' if n_disturbed else
                '; none was.'),
             *table_lines(['machine', ''], facts.items())]
    return lines


# ------------------------------------------------------------------------------------ Figures

def group_lines(table, group):
    """A table of one group, without the measures that nobody has and the columns of nobody."""
    rows = [row for row in rows_in_order(table)
            if any(table.figure(row, m.key) for m in group.measures)]
    measures = [m for m in group.measures if any(table.figure(row, m.key) for row in rows)]
    if not rows:
        return []
    body = []
    for row in rows:
        counts = [table.figure(row, m.key).n for m in measures
                  if table.figure(row, m.key) and m.key not in figures.MAXIMA]
        body.append([row, runs_text(counts) if counts else 1,
                     *(cell(table, row, m) for m in measures)])
    return ['', f'### {group.title}: {table.title}', '', group.note,
            *table_lines(['', 'n', *map(head_of, measures)], body)]


def figure_lines(tables, out):
    folder = os.path.join(out, 'charts')
    if charts is not None:
        charts.begin(folder)
    lines = []
    for table in tables:
        lines += ['', f'## {table.title[0].upper()}{table.title[1:]}']
        for group in figures.GROUPS:
            lines += group_lines(table, group)
            if charts is not None and group.chart and charts.wanted(table, group):
                path = charts.draw_group(table, group, rows_in_order(table), folder)
                lines += [f'![{group.title}: {table.title}]({path})', '']
    if charts is None:
        return lines + ['', 'No charts: matplotlib is not installed.', '']
    for title, path in charts.draw_across(tables, rows_in_order, folder):
        lines += ['', f'## {title}', '', f'![{title}]({path})', '']
    return lines


def behind_rows(tables):
    """By measure: where and by whom varve is beaten, with block statistics or without, the greatest
    difference first."""
    found = {}
    for table in tables:
        for row in rows_in_order(table):
            for key, every_value in itertools.product(figures.MEASURES, (False, True)):
                ratio = table.ratio(row, key, every_value)
                if ratio is not None and ratio < 1:
                    found.setdefault(key, []).append((ratio, table, row, every_value))
    return {key: sorted(found[key], key=lambda item: item[0])
            for key in sorted(found, key=lambda key: min(item[0] for item in found[key]))}


def ahead_lines(key, items):
    """A line for each figure of varve, with the engines that are ahead of it and those that are so
    little ahead that their runs overlap with varve's."""
    measure, by_base = figures.MEASURES[key], {}
    for ratio, table, row, every_value in items:
        mine, theirs = table.mine(row, key, every_value), table.figure(row, key)
        base = table.row_beside(row, key, every_value)
        entry = by_base.setdefault((table.title, base), (with_range(mine, measure.scale), [], []))
        entry[2 if mine.overlaps(theirs) else 1].append(
            f'{row.label if row.threads == base.threads else dataclasses.replace(row, late=None)} '
            f'{number(theirs.median / measure.scale)} ({times(1 / ratio)})')
    return table_lines(['rows', '', f'{measure.title}, {measure.unit}', 'ahead', 'about equal'],
                       [[title, base, mine, ', '.join(ahead) or ABSENT, ', '.join(equal) or ABSENT]
                        for (title, base), (mine, ahead, equal) in by_base.items()])


def behind_lines(tables):
    lines = ['## Where varve is behind', '',
             'Every measure in which another engine did better by its median, the greatest '
             'difference first, in brackets how many times better; *about equal* if the ranges of '
             'both overlap.', '']
    found = behind_rows(tables)
    if not found:
        return lines + ['Nowhere in what was measured; what was not measured may differ.', '']
    for key, items in found.items():
        why = behind.reason(key)
        lines += [f'### {figures.GROUP_OF[key].title}: {figures.MEASURES[key].title}', '',
                  f'{why[0]} *What it would take:* {why[1]}' if why else 'Not looked into yet.']
        lines += ahead_lines(key, items)
    return lines


# ----------------------------------------------------------------------- What stands behind it

def answer_lines(wrong, lost, engines):
    """`engines` are those that answered anything."""
    lines = ['## Answers', '']
    if len(engines) < 2:
        lines += ['There was nothing to compare answers with.', '']
    elif wrong:
        lines += ['**These differ from what most engines answer; their times were left out:**', '',
                  *(f"- {line['configuration']}, {line['set']}, {line['rows_total']:,} rows, "
                    f"{line['question']}: {line['answer']}, but {line['reference']}"
                    for line in wrong), '']
    else:
        lines += ['All engines gave the same answers to every question; sums of doubles to nine '
                  'digits.', '']
    return lines + [*(f"- {line['configuration']}, {line['set']}: {line['reason']}"
                      + ('' if line['promised'] else ' (it promises no more)')
                      for line in lost), '']


NARROW = 'not planned: README.md of the comparison says what is'
RUN_BY = ('java', 'jvm_flags', 'driver', 'client_flags')


def setting_lines(chosen):
    """Each engine as it was set; what runs it, once for all that have the same."""
    run_by = {}
    for facts in chosen.peers.values():
        said = '; '.join(f"{name.replace('_', ' ')}: {facts[name]}" for name in RUN_BY if name in facts)
        if said:
            run_by.setdefault(said, facts['peer'])
    return ['## Engines and settings',
            *table_lines(['configuration', 'version', 'rows a commit, whole set', 'settings'],
                         [[label, facts['version'], f"{facts['bulk_commit']:,}"
                           if facts.get('bulk_commit') else 'all', facts['settings']]
                          for label, facts in chosen.peers.items()]),
            *(f'{peer}: {said}.' for said, peer in run_by.items()), '']


def narrow_rows(chosen):
    """Parts of the sets and sizes that were planned, which no stage of the plan has for some."""
    by_part = {}
    for name, rows in dict.fromkeys(key[1:3] for key in chosen.planned if key[3] != 'agreement'):
        where = f'{name}, {rows:,} rows' if rows else name
        for configuration in plan.CONFIGURATIONS:
            if configuration.label in chosen.peers:
                parts = ', '.join(plan.left_out(configuration, name, rows))
                by_part.setdefault((where, parts), []).append(configuration.label)
    return [['; '.join(labels), where, parts, NARROW] for (where, parts), labels in by_part.items()
            if parts]


def missing_lines(chosen):
    """What was planned and has no figures, and what an engine cannot do."""
    by_reason = {}
    for key in chosen.missing:
        rows = f'{key[2]:,} rows' if key[2] else 'all rows'
        by_reason.setdefault((key[0], f'{key[1]}, {rows}', chosen.reason(key)), []).append(key[3])
    body = [[label, where, ', '.join(parts), reason]
            for (label, where, reason), parts in by_reason.items()]
    body += [[label, 'all', 'everything', reason] for label, reason in chosen.absent.items()
             if label not in chosen.peers]
    cannot = {}  # once for all configurations of an engine
    for label, facts in chosen.peers.items():
        for parts, why in plan.impossible(facts):
            cannot.setdefault((facts['peer'], ', '.join(parts), why), label)
    body += [[peer, 'all', parts, why] for peer, parts, why in cannot]
    known = {*chosen.peers, *chosen.absent}
    body += [[configuration.label, 'all', 'everything', 'it was not asked for']
             for configuration in plan.CONFIGURATIONS if configuration.label not in known]
    body += [[name, 'all', 'everything', why] for name, why in plan.NO_PEER.items()]
    body += [['all', name, 'everything', why] for name, why in chosen.no_sets.items()]
    body += narrow_rows(chosen)
    return ['## What is not here', '', 'Planned and without figures, or not possible. Beyond that, '
            'only the sets and sizes in the tables above were planned.',
            *table_lines(['engine', 'rows', 'what', 'why'], body)]


def drift_lines(chosen):
    """varve once more at the end of each sitting, beside its figures above."""
    def medians(phases):
        found = {}
        for line in chosen.lines:
            if line.get('configuration') != 'varve' or line.get('phase') not in phases or (
                    line['set'], line['rows_total']) != where or line.get('threads', 1) != 1:
                continue
            kinds = {'ingest': lambda: line['rows'] / line['seconds'] / 1e3,
                     'slice': lambda: line['p50'] * 1e6, 'scan': lambda: line['seconds'] * 1e3}
            if line['measure'] in kinds:
                found.setdefault((line['unit'].split('.')[0], line['measure']), []).append(
                    kinds[line['measure']]())
        return {key: number(statistics.median(values)) for key, values in found.items()}

    drift = [key for key in chosen.units if key[3].startswith('drift')]
    if not drift:
        return []
    where = (drift[0][1], drift[0][2])
    rows = [[f'{name}, sitting {sitting}', *(found.get((sitting, measure), ABSENT)
                                             for measure in ('ingest', 'slice', 'scan'))]
            for name, phases in (('in the tables', ('load', 'slices', 'scan')),
                                 ('at the end', ('drift',)))
            for found in [medians(phases)] for sitting in sorted({key[0] for key in found})]
    return ['## Drift of the machine', '',
            f'varve once more at the end of each sitting ({where[0]}, {where[1]:,} rows).',
            *table_lines(['', 'whole set, k rows/s', 'slice p50, us', 'all rows, ms'], rows)]


def origin_lines(chosen):
    """When and at which commit each figure was measured, and what else ran."""
    found = {}
    for (label, name, rows, part), line in chosen.units.items():
        if part == 'agreement' or part.startswith('drift'):
            continue
        entry = found.setdefault((label, name, rows), ([], [], []))
        entry[0].append(part + (MARK if results.disturbed(line) else ''))
        entry[1].append(line)
        entry[2].append(line['commit'])
    rows = [[label, name + (f', {n:,}' if n else ''), ', '.join(parts),
             ' to '.join(sorted({min(line['at'] for line in lines), max(line['at'] for line in lines)})),
             ', '.join(dict.fromkeys(commits)), *(f'{max(line[share] for line in lines):.1%}'
                                                  for share in ('foreign', 'steal', 'slow'))]
            for (label, name, n), (parts, lines, commits) in found.items()]
    sittings = [[line['sitting'], line['at'], line['commit'], f"`{' '.join(line['words'])}`"]
                for line in chosen.sittings]
    return ['## When it was measured', '',
            'An engine is measured again when it, its settings or what drives it have changed, varve '
            'also when its own sources have. *Others* is the processor time that anything else used, '
            '*host* what the machine\'s own host took away, *slower* by how much a fixed piece of work '
            'took longer than typically when half of the runs began: the worst of the parts.',
            *table_lines(['configuration', 'rows', 'parts', 'when', 'commit of varve', 'others',
                          'host', 'slower'], rows),
            *table_lines(['sitting', 'began', 'commit of varve', 'arguments'], sittings)]


def missing_measures(chosen, tables):
    """Of every part that was measured, what it should have given and did not."""
    for (label, name, rows, part), line in chosen.units.items():
        table = next((t for t in tables if t.name == name and (t.rows == rows or rows == 0)), None)
        base, _, percent = part.partition(' ')
        row = figures.Row(label, late=int(percent) if base == 'late' else None)
        have = set(table.raw.get(row, {})) if table else set()
        for key in sorted(figures.required(base, chosen.peers[label]) - have):
            yield f'{label}, {name}, {rows:,} rows: {key}'
    yield from (f'{key[0]}, {key[1]}: {key[3]}: {chosen.reason(key)}' for key in chosen.missing)
    yield from (f'{label}: {reason}' for label, reason in chosen.absent.items())
    yield from (f'{name}: {reason}' for name, reason in chosen.no_sets.items())


@dataclasses.dataclass
class Verdict:
    missing: list  # measures, and peers
    wrong: list    # answers that differ, and rows that were acknowledged and lost


def write(everything, out):
    """Write the report of all lines of results.jsonl."""
    chosen = results.Selection(everything)
    lines, wrong = answers.separate(chosen.lines)
    lost = list(answers.lost_rows(chosen.lines))
    chosen.wrong = {(line['configuration'], line['set']) for line in wrong}
    tables = figures.tables(lines, chosen.peers, chosen.disturbed)
    text = head_lines() + goal_lines(tables) + method_lines(chosen) + figure_lines(tables, out)
    engines = {line['configuration'].split()[0] for line in chosen.lines if answers.is_comparable(line)}
    text += behind_lines(tables) + answer_lines(wrong, lost, engines) + missing_lines(chosen)
    text += setting_lines(chosen) + drift_lines(chosen) + origin_lines(chosen)
    with open(os.path.join(out, 'BENCHMARKS.md'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(text) + '\n')
    failed = [f"{line['configuration']}, {line['question']}" for line in wrong]
    failed += [f"{line['configuration']}: {line['reason']}" for line in lost if line['promised']]
    return Verdict(list(missing_measures(chosen, tables)), failed)


def main():
    write(results.read(os.path.join(sys.argv[1], 'results.jsonl')), sys.argv[1])


if __name__ == '__main__':
    main()
