// One job: a line when it begins and one when it has ended.
import { appendFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

const tell = (what, job) => appendFileSync(process.env.LINES, `${what} ${job}\n`);

export default async function work({ data: { job, lasts_s } }) {
  tell('begin', job);
  await setTimeout(lasts_s * 1000);
  tell('end', job);
}
