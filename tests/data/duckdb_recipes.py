"""Runs every ```sql block of a guide in DuckDB and prints what comes out.

    duckdb_recipes.py GUIDE NAME=PATH...

NAME is what the guide calls a file, PATH is where one is. Fails at the first block that does.
"""

import os
import re
import sys
import tempfile

import duckdb


def main(guide, *files):
    with open(guide, encoding="utf-8") as text:
        blocks = re.findall(r"^```sql\n(.*?)^```$", text.read(), re.DOTALL | re.MULTILINE)
    if not blocks:
        sys.exit(f"{guide} has no sql blocks")
    given = [file.partition("=")[::2] for file in files]
    with tempfile.TemporaryDirectory() as folder:
        for name, path in given:
            os.symlink(os.path.abspath(path), os.path.join(folder, name))
        os.chdir(folder)
        for block in blocks:
            print(block.strip())
            try:
                print(duckdb.sql(block))
            except duckdb.Error as error:
                sys.exit(f"DuckDB refuses this: {error}")
        os.chdir("/")
    print(f"{len(blocks)} recipes, none failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
