/*
 * Per playbook a verdict; per dimension a level of four, the customer's words for and against with the place where they stand, or what is
 * missing; then what contradicts itself, the stage, the next action and the best questions. Colours say the same as words do: without them nothing is lost.
 */
#include "cli/scorecard_print.h"

#include "base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WIDTH_MOST 108
#define NAME_COLUMNS 19
#define TEXT_COLUMN 33        /* where quotes begin */
#define QUOTES_MOST 3         /* per dimension; the rest is counted */
#define QUESTIONS_MOST 3

struct page {
	struct buf *out;
	const struct style *s;
	size_t width;
	const json_t *output, *evidence;
};

/* -- text ------------------------------------------------------------------------------------------------------------- */

static void
add_spaces(struct buf *b, size_t n)
{
	while (n--)
		buf_add_char(b, ' ');
}

/* "economic_buyer" → "Economic buyer" */
static void
add_label(struct buf *b, struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i] == '_' || name.p[i] == '-' ? ' ' : name.p[i];
		buf_add_char(b, i == 0 ? (char)toupper((unsigned char)c) : c);
	}
}

/* One line of words: runs of blanks and control bytes become one blank, so that nothing from a conversation reaches the terminal as a command. */
static void
add_flat(struct buf *b, struct str text)
{
	bool blank = true;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool c1 = c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0;
		if (c1)
			i++;
		if (c1 || c <= 0x20 || c == 0x7f) {
			if (!blank)
				buf_add_char(b, ' ');
			blank = true;
		} else {
			buf_add_char(b, (char)c);
			blank = false;
		}
	}
	while (b->n && b->p[b->n - 1] == ' ')
		b->n--;
	if (b->p)
		b->p[b->n] = '\0';
}

/* Words from column `at` on (the line already stands there), broken at blanks, further lines indented to `indent`. Ends the line. */
static void
add_wrapped(struct page *p, struct str text, size_t at, size_t indent, const char *colour)
{
	buf_add_text(p->out, colour);
	bool first = true;
	while (text.n) {
		size_t n = 0;
		while (n < text.n && text.p[n] != ' ')
			n++;
		struct str word = { text.p, n };
		size_t columns = text_columns(word);
		if (!first && at + 1 + columns > p->width) {
			buf_addf(p->out, "%s\n", p->s->off);
			add_spaces(p->out, indent);
			buf_add_text(p->out, colour);
			at = indent;
		} else if (!first) {
			buf_add_char(p->out, ' ');
			at++;
		}
		buf_add_str(p->out, word);
		at += columns;
		first = false;
		text.p += n < text.n ? n + 1 : n;
		text.n -= n < text.n ? n + 1 : n;
	}
	buf_addf(p->out, "%s\n", p->s->off);
}

/* A string, an array of strings, or objects that say something under a usual name: as one line of words. */
static void
add_words(struct buf *b, const json_t *value)
{
	static const char *const names[] = { "text", "reason", "message", "title", "rule", "missing", "id" };
	if (json_is_string(value)) {
		add_flat(b, json_str(value));
	} else if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value); i++) {
			if (i)
				buf_add_text(b, "; ");
			add_words(b, json_array_get(value, i));
		}
	} else if (json_is_object(value)) {
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			struct str text = json_member_str(value, names[i]);
			if (text.n) {
				add_flat(b, text);
				return;
			}
		}
		json_write(b, value);
	}
}

static bool
says_something(const json_t *value)
{
	return json_is_string(value) ? json_string_length(value) > 0 : json_is_array(value) ? json_array_size(value) > 0 : json_is_object(value);
}

/* -- evidence --------------------------------------------------------------------------------------------------------- */

static const json_t *
find_evidence(const struct page *p, const json_t *id)
{
	size_t index;
	json_t *item;
	json_array_foreach(p->evidence, index, item)
		if (json_equal(json_member(item, "id"), id))
			return item;
	return NULL;
}

static bool
is_against(const json_t *item)
{
	return json_member_int(item, "polarity", 1) < 0;
}

/* "Dana Ortiz <dana@quarry.example>" → "Dana Ortiz" */
static struct str
person(struct str name)
{
	for (size_t i = 1; i + 1 < name.n; i++)
		if (name.p[i] == ' ' && name.p[i + 1] == '<')
			return (struct str){ name.p, i };
	return name;
}

/* "2023-12-04T10:02:18.000Z" → "2023-12-04 10:02:18"; anything else as the source gave it. */
static void
add_time(struct buf *b, struct str time)
{
	int64_t at_us;
	bool whole = time.n >= 19 && time_parse(time, &at_us);
	for (size_t i = 0; i < (whole ? 19 : time.n); i++)
		buf_add_char(b, whole && i == 10 ? ' ' : time.p[i]);
	if (whole && time.p[time.n - 1] != 'Z')
		buf_add_str(b, (struct str){ time.p + time.n - 6, 6 });
}

/* ✓ “We have 40k set aside for it.”
 *   Dana Ortiz · 00:12:31 · bytes 812–848 */
static void
add_quote(struct page *p, const json_t *item, bool first)
{
	const struct style *s = p->s;
	bool against = is_against(item);
	struct buf text;

	if (!first)
		add_spaces(p->out, TEXT_COLUMN);
	buf_addf(p->out, "%s%s%s ", against ? s->red : s->green, against ? "✗" : "✓", s->off);
	buf_init(&text, 1 << 16);
	buf_add_text(&text, "“");
	struct buf quote;
	buf_init(&quote, 1 << 16);
	add_flat(&quote, json_member_str(item, "quote"));
	buf_add_str(&text, buf_str(&quote));
	buf_add_text(&text, "”");
	add_wrapped(p, buf_str(&text), TEXT_COLUMN + 2, TEXT_COLUMN + 3, "");
	buf_reset(&text);
	buf_reset(&quote);

	struct str said_at = json_member_str(item, "said_at");
	add_flat(&quote, person(json_member_str(item, "speaker")));
	buf_add_str(&text, quote.n ? buf_str(&quote) : STR("someone"));
	if (said_at.n) {
		buf_add_text(&text, " · ");
		add_time(&text, said_at);
	}
	buf_addf(&text, " · bytes %lld–%lld", (long long)json_member_int(item, "start", 0), (long long)json_member_int(item, "end", 0));
	add_spaces(p->out, TEXT_COLUMN + 2);
	add_wrapped(p, buf_str(&text), TEXT_COLUMN + 2, TEXT_COLUMN + 2, s->dim);
	buf_free(&quote);
	buf_free(&text);
}

/* Bad news first, then good; the newest of each last is how the ledger orders them. Returns how many lines were begun. */
static size_t
add_quotes(struct page *p, const json_t *ids)
{
	size_t shown = 0, total = 0, index;
	json_t *id;

	for (int pass = 0; pass < 2; pass++) {
		json_array_foreach(ids, index, id) {
			const json_t *item = find_evidence(p, id);
			if (!item || is_against(item) != (pass == 0))
				continue;
			if (++total > QUOTES_MOST)
				continue;
			add_quote(p, item, shown++ == 0);
		}
	}
	if (total > QUOTES_MOST) {
		add_spaces(p->out, TEXT_COLUMN + 2);
		buf_addf(p->out, "%sand %zu more%s\n", p->s->dim, total - QUOTES_MOST, p->s->off);
	}
	return shown;
}

static bool
is_contradicted(const struct page *p, const json_t *ids)
{
	bool fore = false, against = false;
	size_t index;
	json_t *id;
	json_array_foreach(ids, index, id) {
		const json_t *item = find_evidence(p, id);
		if (item && is_against(item))
			against = true;
		else if (item)
			fore = true;
	}
	return fore && against;
}

/* -- a scorecard ------------------------------------------------------------------------------------------------------ */

static const char *const known_order[] = {
	"budget", "authority", "need", "timeline",
	"metrics", "economic_buyer", "decision_criteria", "decision_process", "paper_process", "pain", "champion", "competition", NULL
};

static void
add_dimension(struct page *p, const char *name, const json_t *dimension)
{
	const struct style *s = p->s;
	int64_t level = json_member_int(dimension, "level", 0);
	bool red = json_member_bool(dimension, "red", false);
	const json_t *missing = json_member(dimension, "missing"), *ids = json_member(dimension, "evidence");
	const char *colour = red ? s->red : level >= 3 ? s->green : level >= 1 ? s->yellow : s->dim;
	struct buf label;

	buf_init(&label, 256);
	add_label(&label, str_of(name));
	add_spaces(p->out, 2);
	buf_add_str(p->out, buf_str(&label));
	size_t columns = text_columns(buf_str(&label));
	add_spaces(p->out, columns < NAME_COLUMNS ? NAME_COLUMNS - columns : 1);
	buf_free(&label);

	buf_add_text(p->out, colour);
	for (int64_t i = 0; i < 4; i++)
		buf_add_text(p->out, i < level ? "●" : "○");
	if (red)
		buf_addf(p->out, "  RED %s", s->off);
	else
		buf_addf(p->out, "  %lld   %s", (long long)level, s->off);
	add_spaces(p->out, 2);

	bool any = add_quotes(p, ids) > 0;
	if (says_something(missing) || !any) {
		struct buf text;
		buf_init(&text, 1 << 14);
		if (any)
			add_spaces(p->out, TEXT_COLUMN);
		buf_add_text(&text, any ? "still missing: " : "? ");
		if (says_something(missing))
			add_words(&text, missing);
		else
			buf_add_text(&text, "nothing said");
		add_wrapped(p, buf_str(&text), TEXT_COLUMN, TEXT_COLUMN + 2, s->dim);
		buf_free(&text);
	}
}

static void
add_verdict(struct page *p, const char *playbook, const json_t *card)
{
	const struct style *s = p->s;
	const json_t *qualified = json_member(card, "qualified");
	struct str blocker = json_member_str(card, "blocker");

	buf_add_char(p->out, '\n');
	buf_add_text(p->out, s->bold);
	for (const char *c = playbook; *c; c++)
		buf_add_char(p->out, (char)toupper((unsigned char)*c));
	buf_addf(p->out, "%s  ", s->off);
	if (json_is_true(qualified))
		buf_addf(p->out, "%s%squalified%s", s->bold, s->green, s->off);
	else if (json_is_false(qualified))
		buf_addf(p->out, "%s%snot qualified%s", s->bold, s->red, s->off);
	else
		buf_addf(p->out, "%s%sopen%s", s->bold, s->yellow, s->off);
	if (blocker.n) {
		buf_addf(p->out, " · %sblocked by ", s->red);
		struct buf label;
		buf_init(&label, 256);
		add_label(&label, blocker);
		if (label.n)
			label.p[0] = (char)tolower((unsigned char)label.p[0]);
		buf_add_str(p->out, buf_str(&label));
		buf_free(&label);
		buf_add_text(p->out, s->off);
	}
	if (json_is_integer(json_member(card, "score_bp")))
		buf_addf(p->out, " %s· %lld %%%s", s->dim, (long long)(json_member_int(card, "score_bp", 0) + 50) / 100, s->off);
	buf_add_char(p->out, '\n');
}

static void
add_card(struct page *p, const char *playbook, const json_t *card)
{
	const json_t *dimensions = json_member(card, "dimensions");
	const char *name;
	json_t *dimension;

	add_verdict(p, playbook, card);
	for (const char *const *known = known_order; *known; known++)
		if (json_member(dimensions, *known))
			add_dimension(p, *known, json_member(dimensions, *known));
	json_object_foreach((json_t *)(uintptr_t)dimensions, name, dimension) {
		bool shown = false;
		for (const char *const *known = known_order; *known && !shown; known++)
			shown = strcmp(*known, name) == 0;
		if (!shown)
			add_dimension(p, name, dimension);
	}
}

/* -- what follows ----------------------------------------------------------------------------------------------------- */

static void
begin_section(struct page *p, const char *title)
{
	buf_addf(p->out, "\n%s%s%s", p->s->bold, title, p->s->off);
	add_spaces(p->out, NAME_COLUMNS + 2 - text_columns(str_of(title)));
}

static void
add_contradictions(struct page *p)
{
	const char *playbook, *name;
	json_t *card, *dimension;
	struct buf text;

	buf_init(&text, 1 << 14);
	json_object_foreach((json_t *)(uintptr_t)json_member(p->output, "scorecards"), playbook, card) {
		json_object_foreach((json_t *)(uintptr_t)json_member(card, "dimensions"), name, dimension) {
			if (!is_contradicted(p, json_member(dimension, "evidence")))
				continue;
			buf_addf(&text, "%s%s: ", text.n ? " · " : "", playbook);
			add_label(&text, str_of(name));
		}
	}
	if (text.n) {
		begin_section(p, "Contradicted");
		add_wrapped(p, buf_str(&text), NAME_COLUMNS + 2, NAME_COLUMNS + 2, p->s->yellow);
	}
	buf_free(&text);
}

static void
add_stage(struct page *p)
{
	const json_t *stage = json_member(p->output, "stage"), *gates = json_member(stage, "gates");
	struct str current = json_member_str(stage, "current");
	struct buf text;
	size_t index;
	json_t *gate;

	if (!current.n)
		return;
	begin_section(p, "Stage");
	buf_init(&text, 1 << 14);
	add_label(&text, current);
	json_array_foreach(gates, index, gate) {
		if (json_member_bool(gate, "met", false))
			continue;
		buf_add_text(&text, " · before ");
		add_flat(&text, json_member_str(gate, "gate"));
		buf_add_text(&text, ": ");
		add_words(&text, json_member(gate, "missing"));
		break;      /* the next gate is what matters */
	}
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '_')
			text.p[i] = ' ';
	add_wrapped(p, buf_str(&text), NAME_COLUMNS + 2, NAME_COLUMNS + 2, "");
	buf_free(&text);
}

static void
add_next_action(struct page *p)
{
	const json_t *next = json_member(p->output, "next_action");
	struct buf text;

	if (!says_something(json_member(next, "action")))
		return;
	begin_section(p, "Next action");
	buf_init(&text, 1 << 14);
	struct buf label;
	buf_init(&label, 1 << 12);
	add_words(&label, json_member(next, "action"));
	add_label(&text, buf_str(&label));
	buf_free(&label);
	add_wrapped(p, buf_str(&text), NAME_COLUMNS + 2, NAME_COLUMNS + 2, p->s->cyan);
	buf_reset(&text);
	add_words(&text, json_member(next, "reasons"));
	if (text.n) {
		add_spaces(p->out, NAME_COLUMNS + 2);
		add_wrapped(p, buf_str(&text), NAME_COLUMNS + 2, NAME_COLUMNS + 2, p->s->dim);
	}
	buf_free(&text);
}

static void
add_questions(struct page *p)
{
	size_t index;
	json_t *question;

	json_array_foreach(json_member(p->output, "questions"), index, question) {
		struct buf text;
		if (index == QUESTIONS_MOST)
			break;
		if (index == 0)
			begin_section(p, "Ask next");
		else
			add_spaces(p->out, NAME_COLUMNS + 2);
		buf_init(&text, 1 << 14);
		add_flat(&text, json_member_str(question, "text"));
		struct str whom = person(json_member_str(question, "for")), dimension = json_member_str(question, "dimension");
		if (whom.n || dimension.n) {
			buf_add_text(&text, " (");
			buf_add_str(&text, dimension);
			bool named = whom.n && isupper((unsigned char)whom.p[0]);      /* a person; else a persona: "director" */
			buf_addf(&text, "%s%s", dimension.n && whom.n ? ", " : "", named ? "to " : whom.n ? "to the " : "");
			buf_add_str(&text, whom);
			buf_add_char(&text, ')');
			for (size_t i = text.n - whom.n - dimension.n; i < text.n; i++)
				if (text.p[i] == '_')
					text.p[i] = ' ';
		}
		add_wrapped(p, buf_str(&text), NAME_COLUMNS + 2, NAME_COLUMNS + 2, index == 0 ? p->s->cyan : "");
		buf_free(&text);
	}
}

static void
add_heading(struct page *p, const struct scorecard_page *page)
{
	const struct style *s = p->s;
	struct buf right;
	struct str deal = json_member_str(page->input, "deal");

	buf_init(&right, 512);
	buf_addf(&right, " %.*s · %.1f ms ──", STR_ARG(deal), (double)page->took_us / 1e3);
	size_t used = 3 + text_columns(str_of(page->title)) + 1 + text_columns(buf_str(&right));
	buf_addf(p->out, "\n%s──%s %s%s%s %s", s->dim, s->off, s->bold, page->title, s->off, s->dim);
	for (size_t i = used; i < p->width; i++)
		buf_add_text(p->out, "─");
	buf_addf(p->out, "%s%s\n", buf_text(&right), s->off);
	buf_free(&right);
	if (page->place)
		buf_addf(p->out, "   %s%s%s\n", s->dim, page->place, s->off);
	struct str status = json_member_str(p->output, "status");
	if (status.n && !str_is(status, "ok"))
		buf_addf(p->out, "   %s%.*s%s\n", s->yellow, STR_ARG(status), s->off);
}

/* -- the overview ----------------------------------------------------------------------------------------------------- */

static void
add_cell(struct buf *out, struct str text, size_t width, const char *colour, const struct style *s)
{
	struct buf flat;
	buf_init(&flat, 1 << 14);
	add_flat(&flat, text);
	for (size_t i = 0; i < flat.n; i++)
		flat.p[i] = flat.p[i] == '_' ? ' ' : flat.p[i];
	bool cut = text_columns(buf_str(&flat)) > width;
	while (cut && text_columns(buf_str(&flat)) >= width) {
		do
			flat.n--;
		while (((unsigned char)flat.p[flat.n] & 0xc0) == 0x80);
	}
	if (cut)
		buf_add_text(&flat, "…");
	buf_addf(out, "%s%s%s", colour, buf_text(&flat), s->off);
	add_spaces(out, width + 2 - text_columns(buf_str(&flat)));
	buf_free(&flat);
}

void
scorecard_print_line(struct buf *out, const struct style *style, const struct scorecard_page *page)
{
	const json_t *card = json_member(json_member(page->output, "scorecards"), "bant"), *qualified = json_member(card, "qualified");
	struct str blocker = json_member_str(card, "blocker"), action = json_member_str(json_member(page->output, "next_action"), "action");
	const char *verdict = json_is_true(qualified) ? "qualified" : json_is_false(qualified) ? "not qualified" : "open";
	const char *colour = json_is_true(qualified) ? style->green : json_is_false(qualified) ? style->red : style->yellow;
	size_t width = (size_t)(style->columns > WIDTH_MOST ? WIDTH_MOST : style->columns < 90 ? 90 : style->columns);

	add_spaces(out, 2);
	add_cell(out, str_of(page->title), width - 58, "", style);
	add_cell(out, str_of(verdict), 13, colour, style);
	add_cell(out, blocker.n ? blocker : STR("-"), 10, style->red, style);
	add_cell(out, action.n ? action : STR("-"), 27, style->cyan, style);
	while (out->n && out->p[out->n - 1] == ' ')
		out->n--;
	buf_add_char(out, '\n');
}

void
scorecard_print(struct buf *out, const struct style *style, const struct scorecard_page *page)
{
	struct page p = {
		.out = out, .s = style, .output = page->output, .evidence = json_member(page->output, "evidence"),
		.width = (size_t)(style->columns > WIDTH_MOST ? WIDTH_MOST : style->columns < 60 ? 60 : style->columns),
	};
	const json_t *cards = json_member(page->output, "scorecards");
	const char *playbook;
	json_t *card;

	add_heading(&p, page);
	json_object_foreach((json_t *)(uintptr_t)cards, playbook, card)
		add_card(&p, playbook, card);
	add_contradictions(&p);
	add_stage(&p);
	add_next_action(&p);
	add_questions(&p);
}
