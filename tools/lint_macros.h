/* For cppcheck, which reads no system header: what the loop and list macros of <sys/queue.h>, uthash and jansson stand for. */
#define TAILQ_HEAD(name, type) struct name { struct type *tqh_first; }
#define TAILQ_ENTRY(type) struct { struct type *tqe_next; }
#define TAILQ_FOREACH(item, head, field) for ((item) = (head)->tqh_first; (item); (item) = (item)->field.tqe_next)
#define TAILQ_FIRST(head) ((head)->tqh_first)
#define TAILQ_NEXT(item, field) ((item)->field.tqe_next)
#define TAILQ_EMPTY(head) ((head)->tqh_first == 0)
#define SLIST_HEAD(name, type) struct name { struct type *slh_first; }
#define SLIST_ENTRY(type) struct { struct type *sle_next; }
#define STAILQ_HEAD(name, type) struct name { struct type *stqh_first; }
#define STAILQ_ENTRY(type) struct { struct type *stqe_next; }
#define LIST_HEAD(name, type) struct name { struct type *lh_first; }
#define LIST_ENTRY(type) struct { struct type *le_next; }
#define HASH_ITER(hh, head, item, next) for ((item) = (head), (next) = 0; (item); (item) = (next))
#define json_object_foreach(object, key, value) for ((key) = 0, (value) = 0; (key);)
#define json_array_foreach(array, index, value) for ((index) = 0, (value) = 0; (index) < 1; (index)++)
