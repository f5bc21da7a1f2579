// Calls BullMQ for a test: a JSON line {id, on, call, args} comes in, {id, value} or {id, error} goes out.
// From the environment: REDIS_URL, QUEUE, and BULLMQ, the package to use (bullmq or bullmq-5).
import { createInterface } from 'node:readline';

const { Job, Queue, QueueEvents, Worker } = await import(process.env.BULLMQ);
const name = process.env.QUEUE;
const connection = { url: process.env.REDIS_URL, maxRetriesPerRequest: null };
const queue = new Queue(name, { connection });
const seen = { events: [], worker: [] };
let events, worker;

function listen(lastEventId) {
  events = new QueueEvents(name, { connection, lastEventId });
  for (const event of ['added', 'waiting', 'active', 'delayed', 'progress', 'completed', 'failed', 'removed', 'error']) {
    events.on(event, (args) => seen.events.push([event, event === 'error' ? String(args) : args]));
  }
  return events.waitUntilReady().then(() => true);
}

function work(options) {
  const process = async (job) => {
    seen.worker.push(['took', job.id]);
    return 'done by BullMQ';
  };
  worker = new Worker(name, process, { connection, drainDelay: 1, ...options });
  worker.on('stalled', (id) => seen.worker.push(['stalled', id]));
  return worker.waitUntilReady().then(() => true);
}

const calls = {
  queue: (call, args) => queue[call](...args),
  job: async (call, [id, ...args]) => {
    const job = await Job.fromId(queue, id);
    if (!job) return null;
    if (call === 'waitUntilFinished') args.unshift(events);
    return job[call](...args);
  },
  events: (call, args) => (call === 'listen' ? listen(...args) : seen.events),
  worker: (call, args) => (call === 'start' ? work(...args) : call === 'seen' ? seen.worker : worker.close()),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, on, call, args } = JSON.parse(line);
  Promise.resolve()
    .then(() => calls[on](call, args))
    .then((value) => ({ id, value: value ?? null }), (error) => ({ id, error: error.message }))
    .then((answer) => process.stdout.write(JSON.stringify(answer) + '\n'));
}
process.exit();
