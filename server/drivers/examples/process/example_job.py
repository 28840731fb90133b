#!/usr/bin/env python3
"""Example jobs of Doyen's engine `process`: word-count, sleep, noop."""

import collections
import json
import os
import re
import sys
import time

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def setting(config, path, default=None):
    """The value at a dotted path."""
    for part in path.split("."):
        if not isinstance(config, dict) or part not in config:
            return default
        config = config[part]
    return config


def lines_of(config):
    strings = setting(config, "input.strings")
    return strings if strings else setting(config, "input.text", "").splitlines()


def word_count(config):
    counts = collections.Counter()
    for line in lines_of(config):
        counts.update(WORD.findall(line.lower()))
    pairs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(pairs[: setting(config, "top")])


def sleep(config):
    seconds = float(setting(config, "seconds", 10))
    time.sleep(seconds)
    return {"seconds": seconds}


JOBS = {"word-count": word_count, "sleep": sleep, "noop": lambda config: 1}


def main(arguments):
    only_validate = arguments[:1] == ["--validate"]
    name = arguments[-1] if arguments else ""
    if name not in JOBS:
        print("no job `%s`: expected one of %s" % (name, ", ".join(sorted(JOBS))), file=sys.stderr)
        return 2
    config = json.load(sys.stdin)
    if name == "word-count" and not lines_of(config):
        print("config input.strings not found", file=sys.stderr)
        return 1
    if not only_validate:
        with os.fdopen(3, "w", encoding="utf-8") as answer:
            json.dump(JOBS[name](config), answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
