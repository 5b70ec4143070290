"""Rows of a tenant in every table of tenants, made from the catalogue, and values for the parameters of statements that may find them."""
import re

VARIANTS = 10
STATES = {        # of the variants of a table, 1 to 10
    "runs": ["queued", "running", "waiting", "cancelled", "cancelled", "succeeded", "stuck", "failed", "unknown outcome", "queued"],
    "approvals": ["pending", "approved", "expired", "pending", "withdrawn", "withdrawn", "rejected", "withdrawn", "pending", "pending"],
    "handoffs": ["started", "dead", "started", "started", "started", "done", "queued", "started", "pending", "started"],
    "deliveries": ["pending", "dead", "retrying", "dead", "done", "running", "pending", "retrying", "started", "queued"],
    "outcomes": ["unknown", "unknown", "unknown", "unknown", "unknown", "happened", "not_happened", "failed", "withdrawn", "unknown"],
}
OTHER_STATES = ["queued", "running", "waiting", "pending", "succeeded", "stuck", "dead", "asked", "failed", "started"]
SEEDS = {         # what the rule of seed_value does not do
    ("idempotency", "run"): lambda v: "" if v % 2 else "x%d" % v,
    ("idempotency", "status"): lambda v: 0,
    ("events", "dispatched"): lambda v: v % 2,
    ("approvals", "effect"): lambda v: v if v <= 5 else 50 + v,
    ("outcomes", "attempt"): lambda v: 100 + v, # not those that outcome_ask makes of intents
    ("deliveries", "event"): lambda v: "x%d" % min(v, 8),
    ("waits", "kind"): lambda v: "child" if v == 7 else "x%d" % v,
    ("runs", "bundle"): lambda v: "x%d" % min(v, 8),
    ("runs", "owner"): lambda v: None if v in (1, VARIANTS - 1, VARIANTS) else "x%d" % v,      # the first is queued: one may claim it
}
FAR = 10 ** 17


def tables(db):
    """{table: [(column, type, not null)]} of all tables with tenant_id."""
    found = {}
    for table, column, kind, required in db.rows(
            "SELECT c.relname, a.attname, a.atttypid::regtype::text, a.attnotnull FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'perigee'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = ''"
            " AND a.attgenerated = '' ORDER BY c.relname, a.attnum"):
        found.setdefault(table, []).append((column, kind, required == "t"))
    return {t: columns for t, columns in found.items() if any(c[0] == "tenant_id" for c in columns)}


NULLS = {"ended_at", "consumed_by", "output", "error"}          # what is not over yet
DOCUMENTS = {"body", "input", "payload", "data", "detail", "fields", "files", "manifest", "answer", "spec"}


def state(table, v):
    return STATES.get(table, OTHER_STATES)[v - 1]


def seed_value(table, column, kind, required, v):
    if column == "tenant_id":
        return "a"
    if (table, column) in SEEDS:
        return SEEDS[table, column](v)
    if column in NULLS and not required and v % 2:
        return None
    if column in ("owner", "parent") and not required and v > VARIANTS - 2:
        return None
    if kind == "bigint" or kind == "integer":
        return 0 if column in ("dispatched", "filled") else v
    if kind == "boolean":
        return "false"
    if column in ("status", "state"):
        return state(table, v)
    if column in DOCUMENTS:
        return '{"deal":"x%d","x%d":"x%d"}' % (v, v, v)
    return '$."deal"' if column == "path" else "x%d" % v


def seed(db):
    for table, columns in tables(db).items():
        for v in range(1, VARIANTS + 1):
            values = [seed_value(table, *column, v) for column in columns]
            db.ask("INSERT INTO perigee.%s (%s) VALUES (%s) ON CONFLICT DO NOTHING" % (
                table, ", ".join(c[0] for c in columns), ", ".join("$%d" % (i + 1) for i in range(len(columns)))), values)
        if table == "schedule_slots":           # more than are kept
            names = [c[0] for c in columns]
            db.ask("INSERT INTO perigee.schedule_slots (%s) SELECT %s FROM perigee.schedule_slots, generate_series(100, 1200) AS n WHERE schedule = 'x1'" % (
                ", ".join(names), ", ".join("n" if c == "slot" else c for c in names)))


def value(statement, name, nullable, kind, v, turn):
    """Of a parameter by its name; turn: another guess."""
    if re.match(r"(path|value)\d$", name):
        return None
    if nullable and turn & 1 and not re.search(r"owner|wake_at", name):
        return None
    if re.search(r"limit|most|count", name):
        return 100
    if kind == "i":
        if re.search(r"after|since|from", name):
            return -1
        if re.search(r"before|until|due|now|_at$|^at$|expired|abandoned", name):
            return FAR if not turn & 2 else v
        return v
    if kind == "b":
        return "x%d" % v
    if re.search(r"^after|after_", name):
        return "~" if "descending" in statement.name else ""
    if name.startswith("before"):
        return "~"
    if name in ("status", "state"):
        return OTHER_STATES[v - 1]
    if name == "runs":
        return '["x1","x2","x3","x4","x5","x6"]'
    if name.endswith("key") and "record_list" in statement.name:
        return "x%d" % v
    if name == "path" or name == "sort_path":
        return '$."deal"'
    if turn & 4 and name in ("body", "payload", "data", "detail"):
        return '{"deal":"x%d"}' % v
    return "x%d" % v
