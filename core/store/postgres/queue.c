#include "store/postgres/postgres.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
	LINGER_ENOUGH = 32,            /* transactions that are worth a commit: more lower its cost for each by little */
	LINGER_FROM = 12,              /* so many at once have come lately: others are on their way */
	LINGER_PAUSES = 4,             /* takes without lingering after one that was in vain */
	LINGER_US = 1000,
};

void queue_init(struct queue *q)
{
	*q = (struct queue){ 0 };
	q->end = &q->first;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->work, NULL);
}

void queue_fini(struct queue *q)
{
	BUG_ON(q->first != NULL);
	pthread_cond_destroy(&q->work);
	pthread_mutex_destroy(&q->lock);
}

void queue_put(struct queue *q, struct store_tx *tx)
{
	bool wake;

	tx->next = NULL;
	pthread_mutex_lock(&q->lock);
	BUG_ON(q->stopping);
	*q->end = tx;
	q->end = &tx->next;
	q->count++;
	wake = q->idle > 0 && (!q->lingering || q->count >= LINGER_ENOUGH);
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->work);
}

/* A pipeline has room for so many questions and more than that again, which is what one transaction may hold. */
enum { OPS_MAX = LINK_QUEUE_MAX / 4 };

static size_t bytes_of(const struct store_tx *tx)
{
	size_t n = 0;

	for (size_t i = 0; i < tx->count; i++)
		for (unsigned k = 0; k < tx->ops[i].params; k++)
			n += tx->ops[i].values[k].text.n;
	return n;
}

/* Under the lock. */
static struct store_tx *cut(struct queue *q, size_t most, size_t bytes_max)
{
	struct store_tx *first = q->first, **p = &q->first;
	size_t n = 0, bytes = 0, ops = 0;

	while (*p != NULL && n < most && (n == 0 || (bytes < bytes_max && ops + (*p)->count < OPS_MAX))) {
		bytes += bytes_of(*p);
		ops += (*p)->count;
		n++;
		p = &(*p)->next;
	}
	q->count -= n;
	q->lately -= q->lately / 8;
	if (q->lately < n)
		q->lately = n;
	q->first = *p;
	*p = NULL;
	if (q->first == NULL)
		q->end = &q->first;
	return first;
}

/* Under the lock. A small batch costs its transactions more than a large one: when there were larger ones lately, wait a little for those on their way. */
static void linger(struct queue *q)
{
	size_t before = q->count;
	struct timespec until;

	if (q->pauses > 0)
		q->pauses--;
	else if (q->lately >= LINGER_FROM && before < LINGER_ENOUGH && !q->stopping) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LINGER_US * 1000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		q->lingering = true;
		q->idle++;
		while (q->count < LINGER_ENOUGH && !q->stopping && pthread_cond_clockwait(&q->work, &q->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
			;
		q->idle--;
		q->lingering = false;
		if (q->count < before + before / 2 + 1)
			q->pauses = LINGER_PAUSES;
	}
}

struct store_tx *queue_take(struct queue *q, size_t most, size_t bytes_max)
{
	struct store_tx *list;

	pthread_mutex_lock(&q->lock);
	while (q->first == NULL && !q->stopping) {
		q->idle++;
		pthread_cond_wait(&q->work, &q->lock);
		q->idle--;
	}
	if (q->lingers && q->first != NULL)
		linger(q);
	list = q->first != NULL ? cut(q, most, bytes_max) : NULL;
	if (q->first != NULL && q->idle > 0)
		pthread_cond_signal(&q->work);
	pthread_mutex_unlock(&q->lock);
	return list;
}

void queue_stop(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_mutex_unlock(&q->lock);
	pthread_cond_broadcast(&q->work);
}
