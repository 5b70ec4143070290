#include "cell/watchdog.h"

#include "cell/exits.h"
#include "cell/fault.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

#include <lauxlib.h>

#define TICK_MS 10
#define DEAF_FACTOR 4  /* budgets without any reaction until the process gives up */
#define STACK_MAX ((ptrdiff_t)1 << 20)  /* an error unwinds its C frames in quadratic time */
#define EVERY_EVENT (LUA_MASKCOUNT | LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE)

/* What a signal handler touches has to be global; there is one VM in a process. */
static struct {
	lua_State *L;
	void (*collected)(lua_State *L);
	volatile sig_atomic_t struck;  /* enum budget */
	volatile sig_atomic_t collect;
	volatile int ticks, ticks_max;
	const char *stack;             /* an address in the outermost frame */
} dog;

static const struct {
	const char *code, *text;
} budgets[] = {
	[BUDGET_NONE] = { "", "" },
	[BUDGET_CPU] = { "budget.cpu", "too much computing between two effects: the CPU budget of a slice is used up" },
	[BUDGET_MEMORY] = { "budget.memory", "not enough memory: the memory budget of the run is used up" },
	[BUDGET_LOG] = { "budget.log", "too many log lines, or too long ones: the log budget of the run is used up" },
};

static void on_hook(lua_State *L, lua_Debug *event)
{
	(void)event;
	if (dog.collect && !dog.struck) {
		dog.collect = 0;
		lua_sethook(L, NULL, 0, 0);
		if (dog.struck) /* a tick came between */
			watchdog_strike((enum budget)dog.struck);
		lua_gc(L, LUA_GCCOLLECT, 0);
		dog.collected(L);
	}
	if (dog.struck)
		watchdog_raise(L);
}

static void arm(void)
{
	lua_sethook(dog.L, on_hook, EVERY_EVENT, 1);
}

static void on_tick(int signal)
{
	int saved = errno;

	(void)signal;
	dog.ticks = dog.ticks + 1;
	if (dog.ticks >= dog.ticks_max)
		watchdog_strike(BUDGET_CPU);
	if (dog.ticks >= dog.ticks_max * DEAF_FACTOR + 100)
		_exit(EXIT_CPU);
	errno = saved;
}

void watchdog_open(lua_State *L, void (*collected)(lua_State *L))
{
	struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };

	dog.L = L;
	dog.collected = collected;
	sigaction(SIGPROF, &action, NULL);
}

void watchdog_start(int64_t cpu_ms)
{
	struct itimerval timer = { .it_interval = { .tv_usec = TICK_MS * 1000 }, .it_value = { .tv_usec = TICK_MS * 1000 } };

	if (cpu_ms <= 0)
		timer = (struct itimerval){ .it_value = { 0 } };
	dog.ticks = 0;
	dog.ticks_max = cpu_ms > 3600000 ? 3600000 / TICK_MS : (int)((cpu_ms + TICK_MS - 1) / TICK_MS);
	setitimer(ITIMER_PROF, &timer, NULL);
}

void watchdog_slice(void)
{
	dog.ticks = 0;
}

void watchdog_strike(enum budget budget)
{
	if (!dog.struck)
		dog.struck = (sig_atomic_t)budget;
	arm();
}

enum budget watchdog_struck(void)
{
	return (enum budget)dog.struck;
}

const char *watchdog_code(enum budget budget)
{
	return budgets[budget].code;
}

const char *watchdog_text(enum budget budget)
{
	return budgets[budget].text;
}

int watchdog_raise(lua_State *L)
{
	fault_push_strike(L);
	return lua_error(L);
}

void watchdog_stack_begin(void)
{
	dog.stack = __builtin_frame_address(0);
}

void watchdog_check_stack(lua_State *L)
{
	const char *here = __builtin_frame_address(0);

	if (dog.stack && dog.stack - here > STACK_MAX)
		luaL_error(L, "stack overflow (functions of the library that call back, nested too deep)");
}

void watchdog_collect_soon(void)
{
	dog.collect = 1;
	arm();
}
