// LangGraph.js with its PostgreSQL checkpointer: a graph of ten nodes in a row, each checkpoint written before the next node (durability "sync").
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import pg from "pg";
import { STEPS, drive, options } from "./load.mjs";

const given = options();
const pool = new pg.Pool({ connectionString: given.url, max: 32 });
const saver = new PostgresSaver(pool);
await saver.setup();
const State = Annotation.Root({ last: Annotation({ reducer: (_, b) => b, default: () => 0 }) });
const graph = new StateGraph(State);
for (let n = 1; n <= STEPS; n++) graph.addNode(`step${n}`, async () => ({ last: n }));
graph.addEdge(START, "step1");
for (let n = 1; n < STEPS; n++) graph.addEdge(`step${n}`, `step${n + 1}`);
graph.addEdge(`step${STEPS}`, END);
const app = graph.compile({ checkpointer: saver });
await drive(given, async (id) => {
  const end = await app.invoke({ last: 0 }, { configurable: { thread_id: id }, durability: "sync" });
  return end.last;
});
await pool.end();
