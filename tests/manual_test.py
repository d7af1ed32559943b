"""`lathe completion` and `lathe man` know every command and option that --help knows."""

import re
import shutil
import subprocess
import unittest

import lathe_testing as testing


class ManualTest(testing.TestCase):
    @classmethod
    def setUpClass(cls):
        """Words of each command -> names of its options and subcommands, from --help."""
        cls.commands, pending = {}, [()]
        while pending:
            words = pending.pop()
            text = testing.run(*words, "--help", check=0).stdout
            subcommands = re.findall(r"^  (\w+) ", text.partition("Subcommands:")[2], re.MULTILINE)
            switches = [name for line in re.findall(r"^  (-\S+)", text, re.MULTILINE) for name in line.split(",")]
            cls.commands[words] = switches, subcommands
            pending.extend((*words, one) for one in subcommands)

    def test_all_commands_are_looked_at(self):
        self.assertGreater(len(self.commands), 25)

    def complete(self, shell, *words):
        script = ('source /dev/stdin; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lathe; printf "%s\\n" "${COMPREPLY[@]}"')
        result = subprocess.run(["bash", "-c", script, "bash", "lathe", *words], input=shell, capture_output=True, text=True, check=True)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_bash_completes_everything(self):
        shell = testing.run("completion", "bash", check=0).stdout
        for words, (switches, subcommands) in self.commands.items():
            known = set(self.complete(shell, *words, ""))
            self.assertLessEqual({*switches, *subcommands}, known, words)
            if words:
                self.assertIn("--json", known)
        self.assertEqual(self.complete(shell, "study", "ra"), ["rank"])
        self.assertEqual(self.complete(shell, "--quiet", "study", "rank", "--acc"), ["--accuracy"])
        self.assertEqual(self.complete(shell, "study", "rank", "runs/x"), [])  # left to the shell: files

    def test_fish_knows_every_option(self):
        script = testing.run("completion", "fish", check=0).stdout
        for words, (switches, _) in self.commands.items():
            for switch in switches:
                name = switch.lstrip("-")
                flag = "-l" if switch.startswith("--") else "-s"
                seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words)
                condition = f"-n '{seen}' " if words else ""
                self.assertRegex(script, rf"(?m)^complete -c lathe {re.escape(condition)}.*{flag} {name}( |$)", f"{words} {switch}")

    def test_unknown_shell(self):
        self.assertIn("bash", testing.run("completion", "tcsh", check=2).stderr)

    def test_manual_page(self):
        page = testing.run("man", check=0).stdout
        self.assertEqual(page.splitlines()[0].split()[:3], [".TH", "LATHE", "1"])
        plain = page.replace("\\-", "-")
        for words, (switches, _) in self.commands.items():
            title = f".SS {' '.join(['lathe', *words])}\n" if words else ".SH OPTIONS\n"
            self.assertIn(title, plain)
            section = re.split(r"^\.S[SH] ", plain.partition(title)[2], flags=re.MULTILINE)[0]
            for switch in switches:
                self.assertRegex(section, rf"(?m)^\.B .*{re.escape(switch)}(,|$)", f"{words} {switch}")

    @unittest.skipIf(shutil.which("groff") is None, "SKIPPED: no groff")
    def test_manual_page_is_valid(self):
        page = testing.run("man", check=0).stdout
        result = subprocess.run(["groff", "-man", "-ww", "-Tutf8"], input=page, capture_output=True, text=True, check=True)
        self.assertEqual(result.stderr, "")
        self.assertIn("--latency", re.sub(".\b", "", result.stdout))  # bold is overstruck


if __name__ == "__main__":
    testing.main()
