// A BullMQ Worker with its defaults (lock of 30 s, one job at once) whose jobs run in a child process, as ours do.
// `node worker.mjs` works, `node worker.mjs add <seconds> <job>...` sends jobs and ends.
// Environment: REDIS_URL; LINES, for work.mjs.
import { Queue, Worker } from 'bullmq';

const connection = { url: process.env.REDIS_URL, maxRetriesPerRequest: null };
const [command, lasts, ...jobs] = process.argv.slice(2);

if (command === 'add') {
  const queue = new Queue('jobs', { connection });
  const opts = { attempts: 3 };
  await queue.addBulk(jobs.map((job) => ({ name: 'work', data: { job, lasts_s: Number(lasts) }, opts })));
  await queue.close();
} else {
  const worker = new Worker('jobs', new URL('./work.mjs', import.meta.url), { connection });
  worker.on('error', console.error);
  worker.on('failed', (job, error) => console.error('failed', job?.data.job, error.message));
}
