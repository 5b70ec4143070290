/* The matcher follows Lua 5.1's lstrlib.c, copyright (C) 1994-2012 Lua.org, PUC-Rio, under the MIT licence. */
#include "cell/pattern.h"

#include "base/bytes.h"
#include "cell/watchdog.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include <lauxlib.h>

#define ESCAPE '%'
#define CAPTURES_MAX 32
#define DEPTH_MAX 200
#define UNFINISHED (-1)
#define POSITION (-2)

struct match {
	lua_State *L;
	const char *src, *src_end, *pattern_end;
	int depth;
	int level;  /* captures so far, finished or not */
	struct {
		const char *from;
		ptrdiff_t n;
	} capture[CAPTURES_MAX];
};

static const char *match_here(struct match *m, const char *s, const char *p);

static int close_capture_index(struct match *m)
{
	int level;

	for (level = m->level - 1; level >= 0; level--)
		if (m->capture[level].n == UNFINISHED)
			return level;
	return luaL_error(m->L, "invalid pattern capture");
}

static int check_capture(struct match *m, int digit)
{
	int level = digit - '1';

	if (level < 0 || level >= m->level || m->capture[level].n == UNFINISHED)
		return luaL_error(m->L, "invalid capture index");
	return level;
}

static const char *class_end(struct match *m, const char *p)
{
	if (*p++ == ESCAPE) {
		if (p >= m->pattern_end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		return p + 1;
	}
	if (p[-1] != '[')
		return p;
	if (p < m->pattern_end && *p == '^')
		p++;
	do { /* look for a ']' */
		if (p >= m->pattern_end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		if (*p++ == ESCAPE && p < m->pattern_end)
			p++; /* skip escapes (e.g. '%]') */
	} while (p >= m->pattern_end || *p != ']');
	return p + 1;
}

static bool single_class(int c, int class)
{
	bool is;

	switch (tolower(class)) {
	case 'a': is = isalpha(c); break;
	case 'c': is = iscntrl(c); break;
	case 'd': is = isdigit(c); break;
	case 'g': is = isgraph(c); break;
	case 'l': is = islower(c); break;
	case 'p': is = ispunct(c); break;
	case 's': is = isspace(c); break;
	case 'u': is = isupper(c); break;
	case 'w': is = isalnum(c); break;
	case 'x': is = isxdigit(c); break;
	case 'z': is = c == 0; break;
	default: return class == c;
	}
	return isupper(class) ? !is : is;
}

/* p stands on '[', end on the closing ']'. */
static bool in_set(int c, const char *p, const char *end)
{
	bool found = true;

	if (p[1] == '^') {
		found = false;
		p++;
	}
	while (++p < end) {
		if (*p == ESCAPE) {
			p++;
			if (single_class(c, (unsigned char)*p))
				return found;
		} else if (p[1] == '-' && p + 2 < end) {
			p += 2;
			if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
				return found;
		} else if ((unsigned char)*p == c) {
			return found;
		}
	}
	return !found;
}

static bool single_match(struct match *m, const char *s, const char *p, const char *end)
{
	int c;

	if (watchdog_struck())
		watchdog_raise(m->L);
	if (s >= m->src_end)
		return false;
	c = (unsigned char)*s;
	switch (*p) {
	case '.': return true;
	case ESCAPE: return single_class(c, (unsigned char)p[1]);
	case '[': return in_set(c, p, end - 1);
	default: return (unsigned char)*p == c;
	}
}

static const char *match_balance(struct match *m, const char *s, const char *p)
{
	int open = 1;

	if (p + 1 >= m->pattern_end)
		luaL_error(m->L, "unbalanced pattern");
	if (s >= m->src_end || *s != *p)
		return NULL;
	while (++s < m->src_end) {
		if (watchdog_struck())
			watchdog_raise(m->L);
		if (*s == p[1]) {
			if (--open == 0)
				return s + 1;
		} else if (*s == p[0]) {
			open++;
		}
	}
	return NULL;
}

static const char *max_expand(struct match *m, const char *s, const char *p, const char *end)
{
	ptrdiff_t i = 0;
	const char *rest;

	while (single_match(m, s + i, p, end))
		i++;
	for (; i >= 0; i--) {
		rest = match_here(m, s + i, end + 1);
		if (rest)
			return rest;
	}
	return NULL;
}

static const char *min_expand(struct match *m, const char *s, const char *p, const char *end)
{
	const char *rest;

	for (;;) {
		rest = match_here(m, s, end + 1);
		if (rest)
			return rest;
		if (!single_match(m, s, p, end))
			return NULL;
		s++;
	}
}

static const char *start_capture(struct match *m, const char *s, const char *p, int what)
{
	const char *rest;

	if (m->level >= CAPTURES_MAX)
		luaL_error(m->L, "too many captures");
	m->capture[m->level].from = s;
	m->capture[m->level].n = what;
	m->level++;
	rest = match_here(m, s, p);
	if (!rest)
		m->level--;
	return rest;
}

static const char *end_capture(struct match *m, const char *s, const char *p)
{
	int level = close_capture_index(m);
	const char *rest;

	m->capture[level].n = s - m->capture[level].from;
	rest = match_here(m, s, p);
	if (!rest)
		m->capture[level].n = UNFINISHED;
	return rest;
}

static const char *match_capture(struct match *m, const char *s, int digit)
{
	int level = check_capture(m, digit);
	size_t n = (size_t)m->capture[level].n;

	if ((size_t)(m->src_end - s) >= n && memcmp(m->capture[level].from, s, n) == 0)
		return s + n;
	return NULL;
}

/* %f[set] */
static const char *frontier(struct match *m, const char *s, const char **p)
{
	const char *end;
	int before, here;

	*p += 2;
	if (*p >= m->pattern_end || **p != '[')
		luaL_error(m->L, "missing '[' after '%%f' in pattern");
	end = class_end(m, *p);
	before = s == m->src ? 0 : (unsigned char)s[-1];
	here = s < m->src_end ? (unsigned char)*s : 0;
	if (in_set(before, *p, end - 1) || !in_set(here, *p, end - 1))
		return NULL;
	*p = end;
	return s;
}

/* One item of the pattern with what follows it (* + - ?). Sets *p and returns where to go on, or sets *done. */
static const char *match_item(struct match *m, const char *s, const char **p, bool *done)
{
	const char *end = class_end(m, *p), *rest;
	char suffix = end < m->pattern_end ? *end : '\0';

	*done = true;
	switch (suffix) {
	case '?':
		if (single_match(m, s, *p, end)) {
			rest = match_here(m, s + 1, end + 1);
			if (rest)
				return rest;
		}
		*p = end + 1;
		*done = false;
		return s;
	case '*':
		return max_expand(m, s, *p, end);
	case '+':
		return single_match(m, s, *p, end) ? max_expand(m, s + 1, *p, end) : NULL;
	case '-':
		return min_expand(m, s, *p, end);
	default:
		if (!single_match(m, s, *p, end))
			return NULL;
		*p = end;
		*done = false;
		return s + 1;
	}
}

static const char *match_rest(struct match *m, const char *s, const char *p)
{
	bool done;

	while (s && p < m->pattern_end) {
		if (*p == '(') {
			if (p + 1 < m->pattern_end && p[1] == ')')
				return start_capture(m, s, p + 2, POSITION);
			return start_capture(m, s, p + 1, UNFINISHED);
		}
		if (*p == ')')
			return end_capture(m, s, p + 1);
		if (*p == '$' && p + 1 == m->pattern_end)
			return s == m->src_end ? s : NULL;
		if (*p == ESCAPE && p + 1 < m->pattern_end && p[1] == 'b') {
			s = match_balance(m, s, p + 2);
			p += 4;
		} else if (*p == ESCAPE && p + 1 < m->pattern_end && p[1] == 'f') {
			s = frontier(m, s, &p);
		} else if (*p == ESCAPE && p + 1 < m->pattern_end && isdigit((unsigned char)p[1])) {
			s = match_capture(m, s, (unsigned char)p[1]);
			p += 2;
		} else {
			s = match_item(m, s, &p, &done);
			if (done)
				return s;
		}
	}
	return s;
}

static const char *match_here(struct match *m, const char *s, const char *p)
{
	if (++m->depth > DEPTH_MAX)
		luaL_error(m->L, "pattern too complex");
	s = match_rest(m, s, p);
	m->depth--;
	return s;
}

static void push_capture(struct match *m, int i, const char *s, const char *e)
{
	if (i >= m->level) {
		if (i != 0)
			luaL_error(m->L, "invalid capture index");
		lua_pushlstring(m->L, s, (size_t)(e - s));
	} else if (m->capture[i].n == POSITION) {
		lua_pushinteger(m->L, m->capture[i].from - m->src + 1);
	} else if (m->capture[i].n == UNFINISHED) {
		luaL_error(m->L, "unfinished capture");
	} else {
		lua_pushlstring(m->L, m->capture[i].from, (size_t)m->capture[i].n);
	}
}

static int push_captures(struct match *m, const char *s, const char *e)
{
	int i, n = m->level == 0 && s ? 1 : m->level;

	luaL_checkstack(m->L, n, "too many captures");
	for (i = 0; i < n; i++)
		push_capture(m, i, s, e);
	return n;
}

static void open_match(struct match *m, lua_State *L, struct str s, struct str p)
{
	m->L = L;
	m->src = s.p;
	m->src_end = s.p + s.n;
	m->pattern_end = p.p + p.n;
}

/* Match the pattern from p on exactly at s. */
static const char *match_at(struct match *m, const char *s, const char *p)
{
	m->depth = 0;
	m->level = 0;
	return match_here(m, s, p);
}

static struct str check_str(lua_State *L, int index)
{
	struct str s;

	s.p = luaL_checklstring(L, index, &s.n);
	return s;
}

static bool has_specials(struct str p)
{
	size_t i;

	for (i = 0; i < p.n; i++)
		if (p.p[i] && strchr("^$*+?.([%-", p.p[i]))
			return true;
	return false;
}

/* Where a search begins: 0 … n. */
static size_t start_of(lua_Integer init, size_t n)
{
	if (init < 0)
		init += (lua_Integer)n + 1;
	if (init < 1)
		return 0;
	return (size_t)init - 1 < n ? (size_t)init - 1 : n;
}

static int find_plain(lua_State *L, struct str s, size_t at, struct str p)
{
	const char *hit = p.n ? memmem(s.p + at, s.n - at, p.p, p.n) : s.p + at;

	if (!hit) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushinteger(L, hit - s.p + 1);
	lua_pushinteger(L, hit - s.p + (ptrdiff_t)p.n);
	return 2;
}

static int find(lua_State *L, bool positions)
{
	struct str s = check_str(L, 1), p = check_str(L, 2);
	size_t at = start_of(luaL_optinteger(L, 3, 1), s.n);
	bool anchor = p.n && *p.p == '^';
	const char *from, *end;
	struct match m;

	if (positions && (lua_toboolean(L, 4) || !has_specials(p)))
		return find_plain(L, s, at, p);
	open_match(&m, L, s, p);
	for (from = s.p + at; from <= m.src_end; from++) {
		end = match_at(&m, from, p.p + anchor);
		if (end && positions) {
			lua_pushinteger(L, from - s.p + 1);
			lua_pushinteger(L, end - s.p);
			return push_captures(&m, NULL, NULL) + 2;
		}
		if (end)
			return push_captures(&m, from, end);
		if (anchor)
			break;
	}
	lua_pushnil(L);
	return 1;
}

int pattern_find(lua_State *L)
{
	return find(L, true);
}

int pattern_match(lua_State *L)
{
	return find(L, false);
}

/* Upvalues: text, pattern, position. */
static int gmatch_step(lua_State *L)
{
	struct str s = check_str(L, lua_upvalueindex(1)), p = check_str(L, lua_upvalueindex(2));
	const char *from, *end;
	struct match m;

	open_match(&m, L, s, p);
	for (from = s.p + (size_t)lua_tonumber(L, lua_upvalueindex(3)); from <= m.src_end; from++) {
		end = match_at(&m, from, p.p);
		if (end) {
			lua_pushnumber(L, (double)(end - s.p + (end == from)));
			lua_replace(L, lua_upvalueindex(3));
			return push_captures(&m, from, end);
		}
	}
	return 0;
}

int pattern_gmatch(lua_State *L)
{
	luaL_checkstring(L, 1);
	luaL_checkstring(L, 2);
	lua_settop(L, 2);
	lua_pushnumber(L, 0);
	lua_pushcclosure(L, gmatch_step, 3);
	return 1;
}

static void add_string(struct match *m, luaL_Buffer *b, const char *s, const char *e)
{
	size_t n, i;
	const char *with = lua_tolstring(m->L, 3, &n);

	for (i = 0; i < n; i++) {
		if (with[i] != ESCAPE) {
			luaL_addchar(b, with[i]);
			continue;
		}
		i++;
		if (i < n && !isdigit((unsigned char)with[i])) {
			luaL_addchar(b, with[i]);
		} else if (i < n && with[i] == '0') {
			luaL_addlstring(b, s, (size_t)(e - s));
		} else {
			push_capture(m, i < n ? with[i] - '1' : -1, s, e);
			luaL_addvalue(b); /* a position becomes text */
		}
	}
}

static void add_value(struct match *m, luaL_Buffer *b, const char *s, const char *e)
{
	lua_State *L = m->L;

	switch (lua_type(L, 3)) {
	case LUA_TNUMBER:
	case LUA_TSTRING:
		add_string(m, b, s, e);
		return;
	case LUA_TFUNCTION:
		watchdog_check_stack(L);
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(m, s, e), 1);
		break;
	default:
		watchdog_check_stack(L); /* __index may be a function */
		push_capture(m, 0, s, e);
		lua_gettable(L, 3);
		break;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		lua_pushlstring(L, s, (size_t)(e - s)); /* keep the original text */
	} else if (!lua_isstring(L, -1)) {
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	}
	luaL_addvalue(b);
}

int pattern_gsub(lua_State *L)
{
	struct str s = check_str(L, 1), p = check_str(L, 2);
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)s.n + 1), count = 0;
	bool anchor = p.n && *p.p == '^';
	const char *from = s.p, *end;
	int type = lua_type(L, 3);
	struct match m;
	luaL_Buffer b;

	if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TTABLE && type != LUA_TFUNCTION)
		return luaL_error(L, "bad argument #3 to 'gsub' (string/function/table expected, got %s)", luaL_typename(L, 3));
	lua_settop(L, 3);
	luaL_buffinit(L, &b);
	open_match(&m, L, s, p);
	while (count < most) {
		end = match_at(&m, from, p.p + anchor);
		if (end) {
			count++;
			add_value(&m, &b, from, end);
		}
		if (end && end > from)
			from = end;
		else if (from < m.src_end)
			luaL_addchar(&b, *from++);
		else
			break;
		if (anchor)
			break;
	}
	luaL_addlstring(&b, from, (size_t)(m.src_end - from));
	luaL_pushresult(&b);
	lua_pushinteger(L, count);
	return 2;
}
