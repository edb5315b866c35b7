"""Measures varve beside other engines: the same rows, the same questions, one after the other.

run.sh starts it. plan.py says what there is to do and measurement.py does it; everything that is
measured becomes a line of OUT/results.jsonl (results.py); figures.py turns those into figures and
report.py into tables. Answers are compared (answers.py) before any time counts.
"""

import argparse
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time

import answers
import machine
import measurement
import peer_run
import plan
import real_rows
import report
import results

HERE = os.path.dirname(os.path.abspath(__file__))
REAL_DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(HERE))), 'shared', 'data')
FOLDER_OPTIONS = ('--build', '--out', '--work', '--real')
SETTINGS = ('runs', 'seconds', 'warm_seconds', 'load_seconds', 'slices')  # that figures depend on
QUICK = {'peers': 'varve,rocksdb,sqlite,parquet', 'rows': '20000', 'sets': 'bars,listens', 'runs': 1,
         'seconds': 0.2, 'warm_seconds': 0.1, 'load_seconds': 30, 'late': '10', 'slices': 1000}


def say(text):
    status('')
    print(f'{time.strftime("%H:%M:%S")} {text}', file=sys.stderr, flush=True)


def status(text):
    """What is being done, on a terminal: a line that is written over."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write('\r\x1b[K' + (f'    {text}'[:width] if text else ''))
        sys.stderr.flush()


def describe(failure):
    """Without folders of this machine."""
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    if isinstance(failure, subprocess.CalledProcessError):
        return f'{os.path.basename(failure.cmd[0])} ended with exit code {failure.returncode}'
    if isinstance(failure, subprocess.TimeoutExpired):
        return 'did not end within its time limit'
    return str(failure)


def pace_text(pace):
    low, high = pace.spread()
    return (f'a fixed piece of work takes {1e3 * pace.typical():.2f} ms (four of five times '
            f'{1e3 * low:.2f} to {1e3 * high:.2f} ms)')


def repeatable(words):
    """The command line without the folders of this machine."""
    kept, skip = [], False
    for word in words:
        option = word.partition('=')[0]
        if option in FOLDER_OPTIONS:
            skip = '=' not in word
        elif not skip:
            kept.append(word)
        else:
            skip = False
    return kept


class Changed(Exception):
    """What is measured is no longer what the sitting began with."""


class Comparison:
    def __init__(self, arguments):
        self.arguments = arguments
        os.makedirs(arguments.out, exist_ok=True)
        self.path = os.path.join(arguments.out, 'results.jsonl')
        self.results = results.Results(self.path, arguments.resume or arguments.plan,
                                       os.devnull if arguments.plan else self.path,
                                       patient=not (arguments.quick or arguments.plan))
        self.data_sets = measurement.DataSets(arguments)
        self.store = measurement.Store(os.path.join(arguments.work, 'store'))
        self.build = machine.build_facts(arguments.build)
        self.started, self.unfit = 0.0, None  # of a sitting; sets and configurations (_unfit)
        self.measurements = {}  # label -> Measurement, of those that are there
        self.fingerprints = {}  # of the same, when the sitting began: the programs were built before

    # ------------------------------------------------------------------------------- Plan

    def _fingerprint(self, facts):
        known = vars(self.arguments)
        return self.results.fingerprint(facts, self.build, {name: known[name] for name in SETTINGS})

    def _open_all(self, log):
        """Ask every chosen configuration whether it is there."""
        for configuration in plan.CONFIGURATIONS:
            label = configuration.label
            if configuration.peer not in self.arguments.peers or self.arguments.only not in label:
                continue
            try:
                found = measurement.Measurement(self.arguments, self.results, configuration,
                                                self.data_sets, self.store, log, status)
            except measurement.NotRun as failure:
                if self.arguments.quick and configuration.peer not in plan.NATIVE:
                    continue  # a machine that runs tests need not have it
                self.results.add(configuration=label, measure='not_run', reason=str(failure))
                say(f'not run: {label}: {failure}')
                continue
            self.measurements[label] = found
            self.fingerprints[label] = self._fingerprint(found.facts)
            self.results.add(configuration=label, measure='peer', **found.facts,
                             fingerprint=self.fingerprints[label])

    def _tell_absent_sets(self):
        for name, reason in self.arguments.no_sets.items():
            self.results.add(measure='no_set', set=name, reason=reason)
            say(f'not run: {name}: {reason}')

    def _estimate(self, unit, before):
        """`before` is the unit that runs before it, or None."""
        past, found = self.results.past(unit.key), self.measurements[unit.label]
        if past is not None:
            return past['seconds']
        seconds = plan.estimate(unit, found.configuration, found.facts, self.arguments)
        if unit.part in plan.STORED and (before is None or before.store != unit.store):
            load = dataclasses.replace(unit, part='load 1')
            seconds += plan.estimate(load, found.configuration, found.facts, self.arguments)
        return seconds

    def _make_plan(self):
        """What there is to do, with estimates: what is new, then what others disturbed."""
        known = [(found.configuration, found.facts) for found in self.measurements.values()]
        everything = plan.units(known, self.arguments)
        self.results.add(measure='plan', keys=[unit.key for unit in everything])
        new, again = [], []
        for unit in everything:
            past = self.results.past(unit.key, self.fingerprints[unit.label])
            if past is None:
                new.append(unit)
            elif results.disturbed(past):
                again.append(unit)
        if len(new) < len(everything):
            say(f'{len(everything) - len(new)} of {len(everything)} units are in {self.path} already'
                + (f', of which {len(again)} were disturbed and are measured again' if again else ''))
        todo = new + again
        return [(unit, self._estimate(unit, before)) for before, unit in zip([None, *todo], todo)]

    # -------------------------------------------------------------------------------- Run

    def _run_unit(self, unit):
        """A failure of the peer is a result like any other. Returns whether there was none. Raises
        Changed."""
        found, fingerprint = self.measurements[unit.label], self.fingerprints[unit.label]
        with self.results.unit(unit.key, fingerprint) as outcome:
            try:
                found.measure(unit)
            except (peer_run.PeerFailure, OSError, subprocess.SubprocessError) as failure:
                outcome['failed'] = describe(failure)
                say(f"    {outcome['failed']}")
            changed = self._fingerprint(found.facts) != fingerprint
            if changed:
                outcome['failed'] = 'its program was changed while it was measured'
        if changed:
            raise Changed
        ended = self.results.lines[-1]
        if results.disturbed(ended) and not self.arguments.quick:
            say(f"    marked, and measured again when it is resumed: others used "
                f"{ended['foreign']:.1%} of the machine, its host took {ended['steal']:.1%}, and it "
                f"was {ended['slow']:.0%} slower than typically when runs began")
        return 'failed' not in ended

    def _unfit(self):
        """Sets and configurations whose times do not count: a wrong answer, or none at all."""
        chosen = results.Selection(self.results.lines)
        units = {line['unit'] for key, line in chosen.units.items() if key[3] == 'agreement'}
        _, wrong = answers.separate([line for line in chosen.lines if line['unit'] in units])
        for line in wrong:
            say(f"{line['configuration']}, {line['set']}, {line['question']}: answers "
                f"{line['answer']}, but others {line['reference']}")
            yield line['configuration'], line['set']
        yield from (key[:2] for key in chosen.failed
                    if key[3] == 'agreement' and key not in chosen.units)

    def _run_each(self, todo):
        """Returns the units that failed, with those that had no store therefore; None when time is
        up."""
        progress, failed, unloaded = plan.Progress(todo), [], set()
        for unit, seconds in todo:
            if unit.part != 'agreement' and self.unfit is None:
                self.unfit = set(self._unfit())
            if self.unfit and unit.store[:2] in self.unfit:
                progress.skip(unit)
                continue
            if unit.part in plan.STORED and unit.store in unloaded:
                failed.append((unit, seconds))
                progress.skip(unit)
                continue
            taken = time.monotonic() - self.started + progress.pace() * seconds
            if self.arguments.minutes and taken > 60 * self.arguments.minutes:
                say('this sitting is over: --resume goes on')
                return None
            say(progress.head(unit))
            with progress.timed(unit):
                # Without an answer to compare nothing else of an engine counts: once more, at once.
                if self._run_unit(unit) or unit.part == 'agreement' and self._run_unit(unit):
                    continue
            failed.append((unit, seconds))
            if unit.part.startswith('load'):
                unloaded.add(unit.store)
        return failed

    def _run_all(self, todo):
        """What fails is tried once more at the end, and when it is resumed."""
        self.started, self.unfit = time.monotonic(), None
        failed = self._run_each(todo)
        failed = [(unit, seconds) for unit, seconds in failed or () if unit.part != 'agreement']
        if failed:
            say(f'{len(failed)} units failed or had no store: once more')
            self._run_each(failed)
        if todo and 'varve' in self.measurements and self.arguments.rows and (
                ('varve', 'bars') not in (self.unfit or ())):
            drift = plan.Unit('varve', 'bars', min(self.arguments.rows),
                              f'drift {self.results.sitting}')
            say(str(drift))
            self._run_unit(drift)

    def plan(self):
        """Print what there is to do."""
        self.results.begin(machine.facts(self.arguments.out), [])
        self._tell_absent_sets()
        with open(os.devnull, 'w', encoding='utf-8') as log:
            self._open_all(log)
        for line in plan.summary(self._make_plan(), self.arguments.minutes):
            print(line)

    def run(self):
        """False: it was interrupted."""
        shutil.rmtree(self.arguments.work, ignore_errors=True)  # a killed run may have left half a set
        os.makedirs(self.arguments.work)
        if not self.arguments.quick:
            say(f'for {machine.LOOK_SECONDS} s: how fast the machine is')
        self.results.begin({**machine.facts(self.arguments.work), 'compiler': self.build},
                           repeatable(sys.argv[1:]))
        if not self.arguments.quick:
            say(pace_text(self.results.pace))
        self._tell_absent_sets()
        with open(os.path.join(self.arguments.out, 'peers.log'),
                  'a' if self.arguments.resume else 'w', encoding='utf-8') as log:
            try:
                self._open_all(log)
                todo = self._make_plan()
                for line in plan.summary(todo, self.arguments.minutes):
                    say(line)
                self._run_all(todo)
            except KeyboardInterrupt:
                say('interrupted: the same command with --resume goes on')
                return False
            except Changed:
                say('the sources of what is measured have changed since this sitting began, so it '
                    'ends: the same command with --resume goes on with what they are now')
                return False
            finally:
                shutil.rmtree(self.arguments.work, ignore_errors=True)
                self.results.close()
        return True


# -------------------------------------------------------------------------------- Command line

def make_parser(everything):
    parser = argparse.ArgumentParser(prog='tools/bench/run.sh', allow_abbrev=False,
                                     description=__doc__.split('\n')[0])
    parser.add_argument('--plan', action='store_true',
                        help='print what there is to measure and how long it may take, no more')
    parser.add_argument('--minutes', type=float, default=0,
                        help='begin nothing that would end later than this; 0: until all is done')
    parser.add_argument('--resume', action='store_true',
                        help='go on with what OUT has: what was measured of the same program, on '
                             'this machine, with the same settings, undisturbed, is not measured again')
    parser.add_argument('--peers', default=','.join(everything), help='of %(default)s')
    parser.add_argument('--only', default='', help='of those, configurations with this in the name')
    parser.add_argument('--rows', default='1000000,10000000,100000000',
                        help='sizes; %(default)s; empty: only compare answers')
    parser.add_argument('--sets', default=','.join(plan.SETS), help='of %(default)s')
    parser.add_argument('--parts', default=','.join(plan.PARTS), help='of %(default)s')
    parser.add_argument('--runs', type=int, default=5,
                        help='at most 3 for servers and for large sets; %(default)s')
    parser.add_argument('--seconds', type=float, default=5, help='time box of a measure')
    parser.add_argument('--warm-seconds', type=float,
                        help=f'of questions before the clock starts; {plan.WARM_SECONDS}, '
                             f'{plan.SERVER_WARM_SECONDS} for servers')
    parser.add_argument('--load-seconds', type=float, default=600, help='time box of a whole load')
    parser.add_argument('--slices', type=int, default=20000, help='that are chosen; %(default)s')
    parser.add_argument('--late', default=','.join(map(str, plan.LATE_PERCENT)),
                        help='per cent; %(default)s')
    parser.add_argument('--real', default=REAL_DATA,
                        help='a folder of real rows (real_rows.py says which), for the sets real_*')
    parser.add_argument('--quick', action='store_true',
                        help='a smoke test of this program: a few peers and rows')
    parser.add_argument('--out', help='bench-results, or bench-quick if it is')
    parser.add_argument('--work', help='a folder in which a new one is made for stores and rows, and '
                                       'removed at the end; OUT')
    parser.add_argument('--build', required=True, help='meson build folder')
    return parser


def listed(parser, kind, text, known):
    """Words of a list, each of which must be known."""
    words = [word for word in text.split(',') if word]
    unknown = set(words) - set(known)
    if unknown:
        parser.error(f'no such {kind}: {", ".join(sorted(unknown))}')
    return words


def keeps_results(arguments):
    """Whether OUT has results that a run without --resume would replace. A quick run may replace those
    of another."""
    path = os.path.join(arguments.out, 'results.jsonl')
    if not os.path.exists(path):
        return False
    sittings = results.of_measure(results.read(path), 'sitting')
    return not (arguments.quick and all('--quick' in line['words'] for line in sittings))


def parse_arguments():
    everything = list(dict.fromkeys(c.peer for c in plan.CONFIGURATIONS))
    parser = make_parser(everything)
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    arguments.out = arguments.out or ('bench-quick' if arguments.quick else 'bench-results')
    if not (arguments.resume or arguments.plan) and keeps_results(arguments):
        parser.error(f'{arguments.out} has results: --resume goes on with them, or name another --out')
    arguments.peers = listed(parser, 'peer', arguments.peers, everything)
    arguments.parts = listed(parser, 'part', arguments.parts, plan.PARTS)
    arguments.sets, arguments.no_sets = listed(parser, 'set', arguments.sets, plan.SETS), {}
    for name in plan.REAL_SETS:
        if name in arguments.sets and not real_rows.find(name, arguments.real):
            arguments.sets.remove(name)
            arguments.no_sets[name] = 'there are no files of it: --real names a folder of real rows'
    arguments.rows = [int(float(n)) for n in arguments.rows.split(',') if n]
    arguments.late = [int(percent) for percent in arguments.late.split(',')]
    arguments.limit = 40 * arguments.seconds + 120
    arguments.work = os.path.join(os.path.abspath(arguments.work or arguments.out), 'varve-bench-work')
    return arguments


def main():
    arguments = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):  # what was started is ended
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    comparison = Comparison(arguments)
    if arguments.plan:
        comparison.plan()
        return
    complete = False
    try:
        complete = comparison.run()
    finally:  # whatever ended it, what was measured is in the report
        verdict = report.write(comparison.results.lines, arguments.out)
    for line in verdict.missing if arguments.quick else []:
        say(f'missing: {line}')
    if verdict.missing and not arguments.quick:
        say(f'{len(verdict.missing)} units or measures are missing; the report says which and why')
    for line in verdict.wrong:
        say(f'wrong: {line}')
    say(f'report: {os.path.join(arguments.out, "BENCHMARKS.md")}')
    if not complete:
        sys.exit(130)
    # A quick run must have produced every measure; a full one says in its report what it lacks.
    if verdict.wrong or (arguments.quick and verdict.missing):
        sys.exit(1)


if __name__ == '__main__':
    try:
        main()
    except results.Unusable as fault:
        sys.exit(str(fault))
