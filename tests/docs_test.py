"""docs/study-file.md and docs/commands.md list exactly what the program knows: keys, options, and their defaults. Commands shown anywhere
in the documentation exist, and so do their options."""

import functools
import pathlib
import re
import shlex
import tomllib

import lathe_testing as testing

DOCS = testing.ROOT / "docs"
TARGET_OPTIONS = "Target options"
MINIMAL_STUDY = """
study.name = "minimal"
data.kind = "fashion-mnist"
space.file = "{root}/configs/spaces/small-images.toml"
target.latency_ms = 1.0
"""
RECIPE_TABLES = ("trial", "finalists")
UNKNOWN = "zzzz"  # near no key, so that the message has no suggestion


def tables(path):
    """Heading without backticks -> name in the first column -> default cell, of the tables that have a default column."""
    sections, rows, default = {}, {}, None
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            rows = sections.setdefault(line.lstrip("# ").replace("`", ""), {})
            default = None
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            default = None
        elif default is None:
            default = cells.index("default") if "default" in cells else 0
        elif default > 0:
            for name in re.findall(r"`([^`]+)`", cells[0]):
                if name in rows:
                    raise AssertionError(f"{path.name}, {line}: '{name}' is documented twice in one section")
                rows[name] = cells[default]
    return sections


class StudyFileTest(testing.TestCase):
    def setUp(self):
        super().setUp()
        self.sections = tables(DOCS / "study-file.md")
        self.file = self.folder / "study.toml"
        self.file.write_text(MINIMAL_STUDY.format(root=testing.ROOT))

    def documented(self, table):
        if table == "":
            names = [heading[1:-1] for heading in self.sections if heading.startswith("[")]
            return {**self.sections["Top level"], **{name: "" for name in names}}
        if table == "trial.augmentation":
            return self.sections["Recipe keys: augmentation"]
        keys = dict(self.sections[f"[{table}]"])
        if table in RECIPE_TABLES:
            keys.update(self.sections["Recipe keys"] | self.sections["Recipe files"])
        return keys

    def known(self, table):
        """The keys that the program's message about an unknown one lists."""
        sets = ["--set", f"{table}.{UNKNOWN}=1" if table else f"{UNKNOWN}=1"]
        if table in RECIPE_TABLES:  # with a recipe file behind it, whose keys are known, too
            recipe = self.folder / "recipe.toml"
            recipe.write_text("epochs = 1\n")
            sets += ["--set", f"{table}.recipe={recipe}"]
        message = testing.run("search", self.file, "--dry-run", *sets, check=2).stderr
        found = re.search(rf"unknown key '{UNKNOWN}'; known keys: (.*)", message)
        self.assertTrue(found, message)
        return found[1].split(", ")

    def test_every_key(self):
        checked = [""]
        for table in checked:
            known, documented = self.known(table), self.documented(table)
            self.assertEqual(sorted(known), sorted(documented), f"keys of [{table}] in the program, and in docs/study-file.md")
            if table == "":
                checked.extend(name for name in known if name not in self.sections["Top level"])
        self.assertGreater(len(checked), 5, checked)
        self.assertEqual(sorted(self.known("trial.augmentation")), sorted(self.documented("trial.augmentation")))

    def test_defaults(self):
        """A default that is one value in backticks is what the resolved study has; the resolved study has no other keys."""
        resolved = tomllib.loads(testing.run("search", self.file, "--dry-run", "--no-estimate", check=0).stdout)
        given = tomllib.loads(self.file.read_text())
        compared = 0

        def compare(table, values):
            nonlocal compared
            documented = self.documented(table)
            self.assertLessEqual(set(values), set(documented), f"keys of [{table}] in the resolved study")
            for key, value in values.items():
                if isinstance(value, dict):
                    compare("trial.augmentation" if key == "augmentation" else key, value)
                elif default := re.fullmatch(r"`([^`]+)`", documented[key]):
                    self.assertEqual(tomllib.loads(f"value = {default[1]}")["value"], value, f"default of [{table}] {key}")
                    compared += 1
                elif documented[key] == "required":
                    self.assertIn(key, given.get(table, {}), f"[{table}] {key} has a default, but is documented as required")

        compare("", resolved)
        self.assertGreater(compared, 50)

    def test_required(self):
        for table, keys in tomllib.loads(self.file.read_text()).items():
            for key in keys:
                self.assertEqual(self.documented(table)[key], "required", f"[{table}] {key}")


def parse_help(text):
    """Of one --help text: name of an option or positional -> its default, if any; and the subcommands."""
    options, subcommands, section = {}, [], ""
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            section = line[:-1]
            continue
        match = re.match(r"  (\S.*)", line)
        if not match:  # a help text on a line of its own
            continue
        words = match[1].split()
        if section == "Subcommands":
            subcommands.append(words[0])
        elif section in ("Options", "Positionals"):
            type_text = re.split(r"\s{2,}", match[1])[0]
            default = re.search(r"=(\S+)$", type_text)
            for name in words[0].split(","):
                options[name] = default[1] if default else None
    return options, subcommands


@functools.cache
def help_of(words):
    return parse_help(testing.run(*words, "--help", check=0).stdout)


class CommandsTest(testing.TestCase):
    def test_every_command_and_option(self):
        sections = tables(DOCS / "commands.md")
        target_options = sections[TARGET_OPTIONS]
        pending, commands = [[]], []
        while pending:
            words = pending.pop()
            name = " ".join(["lathe", *words])
            commands.append(name)
            options, subcommands = help_of(tuple(words))
            options = dict(options)
            pending.extend([*words, subcommand] for subcommand in subcommands)
            self.assertTrue(name in sections, f"docs/commands.md has no section '{name}'")
            documented = sections[name]
            if words:
                self.assertEqual({options.pop("-h", ""), options.pop("--help", "")}, {None}, name)
            self.assertEqual(sorted(options), sorted(documented), f"options of '{name}' in the program, and in docs/commands.md")
            for option, default in options.items():
                if default is None:
                    continue
                cell = documented[option] or target_options.get(option, "")
                self.assertEqual(cell, f"`{default}`", f"default of '{name}' {option}")
        self.assertGreater(len(commands), 20)
        stale = [heading for heading in sections if heading.split(" ")[0] == "lathe" and heading not in commands]
        self.assertEqual(stale, [], "documented commands that the program does not have")


def documents():
    """All that a user reads."""
    yield from [*testing.ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    for folder in ("bench", "examples", "python"):
        yield from (testing.ROOT / folder).rglob("*.md")


def shown_commands(path):
    """Command lines of lathe in blocks of code and between backticks, without comments and what follows a pipe."""
    text = path.read_text()
    lines = re.findall(r"^ *(?:build/)?lathe (.*)$", text, re.MULTILINE)
    lines += re.findall(r"`(?:build/)?lathe ([a-z][^`]*)`", text)
    for line in lines:
        yield re.split(r"\s+# |[|;]", line.replace("\n", " "))[0].strip(" \\.,")


class ShownCommandsTest(testing.TestCase):
    def check(self, line):
        """Raises unless the command and its options are known."""
        words, pending = (), shlex.split(line.replace("\\|", "|"))
        while pending and pending[0] in help_of(words)[1]:
            words = (*words, pending.pop(0))
        known = {*help_of(())[0], *help_of(words)[0]}
        self.assertTrue(words, "no such command")
        if help_of(words)[1] and pending:
            self.assertTrue(pending[0].startswith("-"), f"no such command: {pending[0]}")
        for word in pending:
            if re.match(r"--?[a-zA-Z]", word):
                self.assertIn(word.rstrip(",").partition("=")[0], known)

    def test_commands_and_options_exist(self):
        count = 0
        for path in documents():
            for line in shown_commands(path):
                with self.subTest(f"{path.relative_to(testing.ROOT)}: lathe {line}"):
                    self.check(line)
                count += 1
        self.assertGreater(count, 150)

    def test_others_are_found(self):
        for line in ("nett time x", "net tim x", "net time x --thread 2", "search study.toml --continue"):
            with self.assertRaises(AssertionError, msg=line):
                self.check(line)


class LinksTest(testing.TestCase):
    def test_links_lead_somewhere(self):
        """Links between files and to headings, in docs/ and in the Markdown files at the top."""
        checked = 0
        for path in [*testing.ROOT.glob("*.md"), *DOCS.rglob("*.md")]:
            for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
                if re.match(r"[a-z]+:", link):
                    continue
                file, _, anchor = link.partition("#")
                target = (path.parent / file) if file else path
                self.assertTrue(target.exists(), f"{path.relative_to(testing.ROOT)}: {link}")
                if anchor:
                    self.assertIn(anchor, anchors(target), f"{path.relative_to(testing.ROOT)}: {link}")
                checked += 1
        self.assertGreater(checked, 10)


def anchors(path: pathlib.Path):
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    testing.main()
