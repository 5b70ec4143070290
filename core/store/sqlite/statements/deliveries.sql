-- Deliveries: an event on its way to one capability. pending → running → done, retrying (→ running …) or dead.

-- name: event_insert_keyed
-- scope: tenant
-- params: id:text type:text source:text subject:text? data:json? at:int run:text? key:text?
-- purpose: event_insert for an event whose key of order is not its subject
INSERT INTO events (id, type, source, subject, data, at, run, key)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT DO NOTHING;

-- name: events_of_prefix
-- scope: tenant
-- params: after_seq:int limit:int prefix:text window:int
-- purpose: events of types that begin so, among the next `window` numbers: what is read stays bounded however rare they are
SELECT seq, id, type, source, subject, data, at, run, key
FROM events
WHERE seq > ?1 AND seq <= ?1 + ?4 AND substr(type, 1, length(?3)) = ?3
ORDER BY seq
LIMIT ?2;

-- name: events_waiting
-- scope: tenant
-- params: limit:int
-- purpose: events that have no deliveries yet, oldest first (index events_undispatched)
SELECT id, type, at FROM events WHERE dispatched = 0 ORDER BY seq LIMIT ?1;

-- name: event_dispatched
-- scope: tenant
-- params: id:text
-- purpose: the event's deliveries are written in this transaction; no row: somebody else did that
UPDATE events SET dispatched = 1 WHERE id = ?1 AND dispatched = 0;

-- name: delivery_insert
-- scope: tenant
-- params: id:text event:text agent:text capability:text ordered:int retries:int at:int
-- purpose: one more capability that the event goes to
INSERT INTO deliveries (id, seq, event, agent, capability, key, status, retries, created_at)
SELECT ?1, seq, id, ?3, ?4, CASE ?5 WHEN 1 THEN key END, 'pending', ?6, ?7
FROM events WHERE id = ?2
ON CONFLICT DO NOTHING;

-- name: delivery_load
-- scope: tenant
-- params: id:text now:int
-- purpose: what a run of it needs, while it is due
SELECT d.agent, d.capability, d.event, d.status, e.subject, e.data
FROM deliveries AS d JOIN events AS e ON e.id = d.event
WHERE d.id = ?1 AND (d.status = 'pending' OR (d.status = 'retrying' AND d.next_at <= ?2));

-- name: delivery_claim
-- scope: tenant
-- params: id:text run:text now:int
-- purpose: begin an attempt, in the transaction that inserts its run. No row: it is not due, or something of its key comes first: a delivery that
--   is not over, or an event whose deliveries are not written yet
UPDATE deliveries
SET status = 'running', run = ?2, runs = runs || CASE runs WHEN '' THEN '' ELSE ' ' END || ?2, attempts = attempts + 1, next_at = NULL, ended_at = NULL
WHERE id = ?1 AND (status = 'pending' OR (status = 'retrying' AND next_at <= ?3))
  AND (key IS NULL OR (
    NOT EXISTS (SELECT 1 FROM deliveries AS first
                WHERE first.agent = deliveries.agent AND first.capability = deliveries.capability AND first.key = deliveries.key
                  AND first.seq < deliveries.seq AND first.key IS NOT NULL AND first.status IN ('pending', 'running', 'retrying'))
    AND NOT EXISTS (SELECT 1 FROM events
                    WHERE events.key = deliveries.key AND events.seq < deliveries.seq AND events.dispatched = 0 AND events.key IS NOT NULL)));

-- name: delivery_settle
-- scope: tenant
-- params: run:text now:int jitter:int
-- purpose: its run has ended: done, another attempt after 1, 2, 4 … 4096 s (three to five quarters of it: jitter 0 to 1000), or dead. In the
--   transaction that ends the run; no row: the run is none of a delivery, or goes on
UPDATE deliveries
SET status = CASE WHEN (SELECT status FROM runs WHERE id = ?1) NOT IN ('failed', 'stuck') THEN 'done'
                  WHEN attempts > retries THEN 'dead' ELSE 'retrying' END,
    next_at = CASE WHEN (SELECT status FROM runs WHERE id = ?1) IN ('failed', 'stuck') AND attempts <= retries
                   THEN ?2 + (1000 << min(attempts - 1, 12)) * (750 + ?3 / 2) END,
    ended_at = CASE WHEN (SELECT status FROM runs WHERE id = ?1) NOT IN ('failed', 'stuck') OR attempts > retries THEN ?2 END,
    error = (SELECT error FROM runs WHERE id = ?1)
WHERE run = ?1 AND status = 'running' AND EXISTS (SELECT 1 FROM runs WHERE id = ?1 AND ended_at IS NOT NULL)
RETURNING id, status, agent, capability, key, next_at, attempts;

-- name: delivery_continue
-- scope: tenant
-- params: run:text next:text
-- purpose: its run goes on as another one, which this transaction inserts: the delivery ends with that
UPDATE deliveries SET run = ?2 WHERE run = ?1 AND status = 'running';

-- name: delivery_refuse
-- scope: tenant
-- params: id:text error:json now:int
-- purpose: no run can be made of it: no such capability, or its data is off the schema
UPDATE deliveries SET status = 'dead', error = ?2, ended_at = ?3, next_at = NULL WHERE id = ?1 AND status IN ('pending', 'retrying')
RETURNING id, status, agent, capability, key, next_at, attempts;

-- name: delivery_next
-- scope: tenant
-- params: agent:text capability:text key:text
-- purpose: the first of a key that is not over (index deliveries_of_key)
SELECT id, status, next_at FROM deliveries
WHERE agent = ?1 AND capability = ?2 AND key = ?3 AND key IS NOT NULL AND status IN ('pending', 'running', 'retrying')
ORDER BY seq LIMIT 1;

-- name: deliveries_pending
-- scope: tenant
-- params: after_seq:int after_id:text limit:int
-- purpose: a slice of what has not begun; startable: nothing of its key comes first (index deliveries_pending)
SELECT id, seq, key IS NULL OR NOT EXISTS (SELECT 1 FROM deliveries AS first
       WHERE first.agent = d.agent AND first.capability = d.capability AND first.key = d.key AND first.seq < d.seq
         AND first.key IS NOT NULL AND first.status IN ('pending', 'running', 'retrying')) AS startable
FROM deliveries AS d
WHERE status = 'pending' AND (seq, id) > (?1, ?2)
ORDER BY seq, id LIMIT ?3;

-- name: deliveries_retrying
-- scope: tenant
-- params: limit:int
-- purpose: the next attempts, the first one first, due or not (index deliveries_retrying)
SELECT id, next_at FROM deliveries WHERE status = 'retrying' ORDER BY next_at, id LIMIT ?1;

-- name: deliveries_running
-- scope: tenant
-- params: after_run:text limit:int
-- purpose: a slice of what is under way; ended: the run is over and nobody has said so (index deliveries_of_run)
SELECT run, NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = deliveries.run AND runs.ended_at IS NULL) AS ended
FROM deliveries WHERE status = 'running' AND run > ?1
ORDER BY run LIMIT ?2;

-- name: deliveries_dead
-- scope: tenant
-- params: before_at:int before_id:text limit:int
-- purpose: a page of dead letters, newest first (index deliveries_dead)
SELECT d.id, d.event, e.type, e.source, e.subject, d.agent, d.capability, d.key, d.attempts, d.runs, d.error, d.ended_at, e.data, e.at
FROM deliveries AS d JOIN events AS e ON e.id = d.event
WHERE d.status = 'dead' AND (d.ended_at, d.id) < (?1, ?2)
ORDER BY d.ended_at DESC, d.id DESC LIMIT ?3;

-- name: delivery_replay
-- scope: tenant
-- params: id:text
-- purpose: a dead letter begins anew, with all its attempts; no row: there is no such dead letter
UPDATE deliveries SET status = 'pending', attempts = 0, next_at = NULL, ended_at = NULL, error = NULL WHERE id = ?1 AND status = 'dead';
