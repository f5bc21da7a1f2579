// Serves Bull Board over our queues on a free loopback port and prints the port.
// From the environment: REDIS_URL, QUEUES (comma-separated), READ_ONLY (1 or 0).
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { Queue } from 'bullmq';
import express from 'express';

const connection = { url: process.env.REDIS_URL };
const readOnlyMode = process.env.READ_ONLY === '1';
const queues = process.env.QUEUES.split(',').map(
  (name) => new BullMQAdapter(new Queue(name, { connection }), { readOnlyMode }),
);
const serverAdapter = new ExpressAdapter();
createBullBoard({ queues, serverAdapter });
const app = express().use(serverAdapter.getRouter());
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume();
