"""Help, versions, and that the manual page and --help speak of the same options."""

import os
import re

import cli_case
from cli_case import CliCase, ROOT, USAGE, FAILED

COMMANDS = ('create', 'import', 'drop', 'flush', 'scan', 'stats', 'verify', 'dump', 'demo', 'bench')


def manual():
    with open(os.path.join(ROOT, 'docs', 'varve.1'), encoding='utf-8') as page:
        return page.read()


class Help(CliCase):
    def options(self, command):
        text = self.run_varve(command, '--help').out
        return set(re.findall(r'^  --([a-z-]+)', text, re.M))

    def test_every_command_has_help_and_version(self):
        version = self.run_varve('--version').out
        self.assertRegex(version, r'^varve \d+\.\d+\.\d+\n$')
        listed = set(re.findall(r'^  ([a-z]+) ', self.run_varve('help').out, re.M))
        self.assertLessEqual(set(COMMANDS) | {'help'}, listed)
        for command in listed - {'help'}:
            text = self.run_varve(command, '--help').out
            self.assertTrue(text.lower().startswith(f'usage: varve {command} '), text)
            self.assertEqual(self.run_varve('help', command).out, text)
            self.assertEqual(self.run_varve(command, '--version').out, version)

    def test_the_manual_has_the_options_of_the_help(self):
        sections = re.split(r'^\.Ss ', manual(), flags=re.M)[1:]
        documented = {s.split('\n')[0].split()[0]: set(re.findall(r'^\.It Fl Fl ([a-z-]+)', s, re.M))
                      for s in sections}
        for command in COMMANDS:
            self.assertEqual(documented[command], self.options(command) - {'help', 'version'},
                             command)

    def test_lines_of_help_fit_a_terminal(self):
        for command in COMMANDS:
            for line in self.run_varve(command, '--help').out.splitlines():
                self.assertLessEqual(len(line), 90, line)

    def test_mistakes(self):
        self.run_varve(code=USAGE)
        self.run_varve('nothing', code=USAGE)
        self.run_varve('help', 'nothing', code=USAGE)
        for command in COMMANDS:
            result = self.run_varve(command, '--nothing', code=USAGE)
            self.assertIn(f'varve: {command}: ', result.err)
        for value in ('--rows=0', '--rows=ten', '--policy=fast', '--policy=os,fast', '--only=load,speed',
                      '--only=slice,slice', '--seconds=-1'):
            self.run_varve('bench', value, code=USAGE)
        self.run_varve('bench', 'operand', code=USAGE)

    def test_an_option_given_twice_is_a_mistake_unless_it_is_a_list(self):
        self.make_readings()
        for command, option in ((['scan', 's', 'readings'], ['--limit', '3']),
                                (['scan', 's', 'readings'], ['--columns', 'ts']),
                                (['scan', 's', 'readings'], ['--reverse']),
                                (['import', 's', 'readings', '-'], ['--columns', 'sensor,ts']),
                                (['import', 's', 'readings', '-'], ['--rejects', 'r']),
                                (['stats', 's'], ['--json']),
                                (['bench'], ['--rows', '3'])):
            result = self.run_varve(*command, *option, *option, code=USAGE)
            self.assertEqual(result.err, f'varve: {command[0]}: {option[0]} is given twice\n')
            self.assertEqual(result.out, '')
        self.run_varve('import', 's', 'readings', '-', '--set', 'value=1', '--set', 'price=2',
                       '--null', 'x', '--null', 'y', stdin='sensor,ts,note\na,2024-01-01,x\n')

    def test_a_full_stdout_is_a_failure(self):
        if not os.path.exists('/dev/full'):
            self.skipTest('no /dev/full')
        import subprocess
        with open('/dev/full', 'wb') as full:
            process = subprocess.run([cli_case.PROGRAM, 'help'], stdout=full,
                                     stderr=subprocess.PIPE, check=False)
        self.assertEqual(process.returncode, FAILED)
        self.assertIn(b'varve: stdout', process.stderr)

    def test_a_reader_that_goes_away_is_a_quiet_failure(self):
        import subprocess
        self.make_readings()
        end, begin = os.pipe()
        os.close(end)
        process = subprocess.run([cli_case.PROGRAM, 'scan', 's', 'readings'], stdout=begin,
                                 stderr=subprocess.PIPE, cwd=self.folder, check=False)
        os.close(begin)
        self.assertEqual((process.returncode, process.stderr), (FAILED, b''))


if __name__ == '__main__':
    cli_case.main()
