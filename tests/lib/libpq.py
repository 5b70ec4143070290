"""PostgreSQL from Python, through the libpq that the host uses too (ctypes; nothing to install).

    with Connection("host=… dbname=… user=…") as db:
        db.rows("SELECT id FROM runs WHERE id = $1", ["x"])       # lists of text or None
        db.ask("UPDATE …").changed
    Failed has .state (SQLSTATE) and the server's text.
"""
import ctypes

_pq = ctypes.CDLL("libpq.so.5")
for _name in ("PQconnectdb", "PQexec", "PQexecParams"):
    getattr(_pq, _name).restype = ctypes.c_void_p
for _name in ("PQerrorMessage", "PQresultErrorField", "PQcmdTuples", "PQgetvalue"):
    getattr(_pq, _name).restype = ctypes.c_char_p
_pq.PQexecParams.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_uint), ctypes.POINTER(ctypes.c_char_p),
                             ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
for _name, _count in (("PQstatus", 0), ("PQfinish", 0), ("PQerrorMessage", 0), ("PQresultStatus", 0), ("PQntuples", 0), ("PQnfields", 0), ("PQclear", 0),
                      ("PQcmdTuples", 0), ("PQresultErrorField", 1), ("PQftype", 1), ("PQgetvalue", 2), ("PQgetisnull", 2)):
    getattr(_pq, _name).argtypes = [ctypes.c_void_p] + [ctypes.c_int] * _count
_pq.PQconnectdb.argtypes = [ctypes.c_char_p]
_pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_COMMAND_OK, _TUPLES_OK, _SQLSTATE = 1, 2, ord("C")
_READ = {16: lambda v: v == "t", 17: lambda v: bytes.fromhex(v[2:]), 20: int, 21: int, 23: int, 700: float, 701: float, 1700: float}


class Failed(Exception):
    def __init__(self, state, text):
        super().__init__("%s (%s)" % (text, state))
        self.state = state


class Answer:
    def __init__(self, rows, changed):
        self.rows, self.changed = rows, changed


class Connection:
    def __init__(self, conninfo):
        self.handle = _pq.PQconnectdb(conninfo.encode())
        if _pq.PQstatus(self.handle) != 0:
            text = _pq.PQerrorMessage(self.handle).decode(errors="replace").strip()
            self.close()
            raise Failed("08000", text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()        # as sqlite3 does: whoever only asks something keeps no connection

    def close(self):
        if self.handle:
            _pq.PQfinish(self.handle)
        self.handle = None

    def ask(self, sql, values=None, types=None, read=False):
        """Without values: one statement or several. types: OIDs, else the server guesses. read: numbers, booleans and bytes as Python's instead of text."""
        if values is None:
            result = _pq.PQexec(self.handle, sql.encode())
        else:
            n = len(values)
            texts = (ctypes.c_char_p * n)(*[None if v is None else str(v).encode() for v in values])
            oids = (ctypes.c_uint * n)(*(types or [0] * n))
            result = _pq.PQexecParams(self.handle, sql.encode(), n, oids, texts, None, None, 0)
        try:
            if _pq.PQresultStatus(result) not in (_COMMAND_OK, _TUPLES_OK):
                state = _pq.PQresultErrorField(result, _SQLSTATE)
                raise Failed(state.decode() if state else "08006", _pq.PQerrorMessage(self.handle).decode(errors="replace").strip())
            rows = [[None if _pq.PQgetisnull(result, r, c) else _pq.PQgetvalue(result, r, c).decode() for c in range(_pq.PQnfields(result))]
                    for r in range(_pq.PQntuples(result))]
            if read:
                readers = [_READ.get(_pq.PQftype(result, c), str) for c in range(_pq.PQnfields(result))]
                rows = [[v if v is None else reader(v) for reader, v in zip(readers, row)] for row in rows]
            return Answer(rows, int(_pq.PQcmdTuples(result) or 0))
        finally:
            _pq.PQclear(result)

    def rows(self, sql, values=None, types=None):
        return self.ask(sql, values, types).rows

    def value(self, sql, values=None, types=None):
        return self.rows(sql, values, types)[0][0]
