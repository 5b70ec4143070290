"""The statements of the PostgreSQL engine as the program has them: text from the generated table, names of parameters from the .sql files."""
import ast, glob, os, re

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("PERIGEE_BUILD") or os.path.join(TOP, "build")
OIDS = {"i": 20, "t": 25, "b": 17}
ARRAY_OIDS = {"i": 1016, "t": 1009, "b": 1001}


class Statement:
    def __init__(self, name, platform, count, sql, types, many, names):
        self.name, self.platform, self.count, self.sql, self.types, self.many, self.names = name, platform, count, sql, types, many, names

    def oids(self):
        table = ARRAY_OIDS if self.many else OIDS
        return [table[t] for t in self.types] + ([] if self.platform else [25])

    def predicate(self):
        """What binds an access to the tenant, in this statement's numbers."""
        return re.compile(r"(?:\b\w+\.)?\btenant_id = \$%d(?!\d)" % (self.count + 1))


def _parameters():
    names, many = {}, set()
    for path in sorted(glob.glob(os.path.join(TOP, "core/store/postgres/statements/*.sql"))):
        with open(path) as f:
            text = f.read()
        for block in re.split(r"(?m)^(?=-- name:)", text)[1:]:
            name = re.search(r"-- name:\s*(\S+)", block)[1]
            found = re.search(r"-- params:(.*(?:\n--  .*)*)", block)
            words = found[1].replace("\n--", " ").split()
            names[name] = [(w.split(":")[0], w.endswith("?")) for w in words]
            if re.search(r"(?m)^-- many:", block):
                many.add(name)
    return names, many


def statements():
    names, many = _parameters()
    with open(os.path.join(BUILD, "gen/store/statements.c")) as f:
        text = f.read()
    text = text[text.index("postgres_statements[STATEMENT_COUNT]"):]
    found = []
    row = re.compile(r'\{ "(\w+)", (true|false), (\d+),((?:\s*"(?:[^"\\]|\\.)*")+),\s*"([itb]*)"')
    for m in row.finditer(text):
        parts = re.findall(r'"(?:[^"\\]|\\.)*"', m[4])
        sql = "".join(ast.literal_eval(p) for p in parts)
        found.append(Statement(m[1], m[2] == "true", int(m[3]), sql, m[5], m[1] in many, names[m[1]]))
    return found
