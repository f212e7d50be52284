/** Asks minions-ui for the cluster once a second while somebody looks. */
import { requestJson } from "../http";
import { readNodes, readTotals, type ClusterNode, type Totals } from "./node";
import { Series, type Columns } from "./series";

const EVERY_MS = 1_000;
/** After a failure, so that a broken stat is not hammered. */
const EVERY_MS_FAILING = 3_000;

export class Monitor {
  nodes: ClusterNode[] = $state.raw([]);
  totals: Totals | null = $state.raw(null);
  /** Why the last question failed; what is shown then is the last good answer. */
  problem: string | null = $state(null);
  /** When the last good answer came; milliseconds since the epoch. */
  updatedAt: number | null = $state(null);
  connections: Columns = $state.raw([[], []]);
  traffic: Columns = $state.raw([[], [], []]);

  private readonly connectionSeries = new Series(1);
  private readonly trafficSeries = new Series(2);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running = false;

  /** Starts asking; the answer stops it. A hidden page does not ask. */
  start(): () => void {
    this.running = true;
    const onVisibility = () => {
      clearTimeout(this.timer);
      if (!document.hidden) void this.tick();
    };
    document.addEventListener("visibilitychange", onVisibility);
    void this.tick();
    return () => {
      this.running = false;
      clearTimeout(this.timer);
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }

  private async tick(): Promise<void> {
    await this.ask();
    if (!this.running || document.hidden) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.tick(), this.problem ? EVERY_MS_FAILING : EVERY_MS);
  }

  private async ask(): Promise<void> {
    try {
      const [cluster, totals] = await Promise.all([
        requestJson("minions-ui", "/api/cluster"),
        requestJson("minions-ui", "/api/totals"),
      ]);
      this.nodes = readNodes(cluster);
      this.totals = readTotals(totals);
      this.updatedAt = Date.now();
      this.problem = null;
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
    const now = Date.now();
    const totals = this.problem ? null : this.totals;
    this.connectionSeries.add(now, [totals?.connections ?? null]);
    this.trafficSeries.add(now, [totals?.messagesPerSecond ?? null, totals?.deliveriesPerSecond ?? null]);
    this.connections = this.connectionSeries.columns();
    this.traffic = this.trafficSeries.columns();
  }
}
