// The same service in Express + BullMQ, as `bench/enqueue.py` measures it: POST /api/queue/media, GET /api/queue/stats.
// It takes quota units as ours does, with the same script; it does not limit how often somebody may ask.
// Environment: PORT, REDIS_URL, DIRECTUS_SECRET, WORKERS; with DIRECTUS_URL and DIRECTUS_TOKEN also the record-store calls.
import cluster from 'node:cluster';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Queue } from 'bullmq';
import express from 'express';
import { Redis } from 'ioredis';
import jwt from 'jsonwebtoken';
import { Pool } from 'undici';
import { z } from 'zod';

const { PORT, REDIS_URL, DIRECTUS_SECRET, DIRECTUS_URL, DIRECTUS_TOKEN } = process.env;
const ACCOUNT_TTL_MS = 30_000;
const UNLIMITED = -1;
const CYCLE_S = 31 * 86_400;
const RESERVED_S = 600;
const MEDIA = [
  ...['convert_image', 'resize_image', 'crop_image', 'compress_image', 'strip_metadata', 'apply_watermark'],
  ...['convert_video', 'resize_video', 'crop_video', 'compress_video', 'trim_video', 'join_videos', 'create_teaser'],
];
const SCRAPE = ['scrape_profile', 'scrape_posts'];

const Request = z.object({
  jobId: z.uuid(),
  operation: z.enum([...MEDIA, ...SCRAPE]),
  input_file_id: z.uuid().nullish(),
  input_url: z.string().max(2048).nullish(),
  params: z.record(z.string(), z.unknown()).nullish(),
  creator_profile_id: z.uuid().nullish(),
  priority: z.int().min(0).max(2_097_151).nullish(),
});

class Refused extends Error {
  constructor(status, error, errors) {
    super(error);
    Object.assign(this, { status, body: { ok: false, error, errors } });
  }
}

// Directus: one keep-alive pool in each process; users are kept for 30 s
const directus = DIRECTUS_URL && new Pool(DIRECTUS_URL, { connections: 32 });
const accounts = new Map();

async function call(method, path, token, body) {
  const { statusCode, body: answer } = await directus.request({
    ...{ method, path, body: body && JSON.stringify(body) },
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  const { data } = await answer.json();
  if (statusCode >= 400) throw new Refused(statusCode === 403 ? 404 : 503, statusCode === 403 ? 'not_found' : 'upstream');
  return data;
}

async function account(id) {
  const known = accounts.get(id);
  if (known && known.until > Date.now()) return known.user;
  const fields = 'id,status,role,subscription_tier,subscription_start,subscription_period';
  const user = directus ? await call('GET', `/users/${id}?fields=${fields}`, DIRECTUS_TOKEN) : { id, status: 'active' };
  accounts.set(id, { user, until: Date.now() + ACCOUNT_TTL_MS });
  return user;
}

async function authenticate(request, _response, next) {
  const token = request.get('authorization')?.replace(/^Bearer /i, '');
  try {
    const claims = jwt.verify(token, DIRECTUS_SECRET, { algorithms: ['HS256'], issuer: 'directus' });
    request.user = await account(claims.id);
  } catch {
    throw new Refused(401, 'invalid_token');
  }
  if (request.user.status !== 'active') throw new Refused(401, 'invalid_token');
  request.token = token;
  next();
}

const redis = new Redis(REDIS_URL);
const take = new URL('../../geniequeue/quota/lua/take.lua', import.meta.url);
redis.defineCommand('take', { numberOfKeys: 3, lua: readFileSync(take, 'utf8') });

async function reserve(user, runId) {
  const feature = 'media_modifications';
  const at = new Date().toISOString();
  const unit = { id: runId, user_id: user.id, feature, at, state: 'taken', noted: randomUUID() };
  const keys = [`gq:quota:units:${user.id}:${feature}:${at.slice(0, 7)}`, 'gq:quota:unsettled', 'gq:quota:due'];
  const due = Date.now() / 1000 + RESERVED_S;
  const given = [runId, UNLIMITED, 'take', CYCLE_S, JSON.stringify(unit), due];
  let [state] = await redis.take(...keys, ...given, '0');
  if (state === 'unread') [state] = await redis.take(...keys, ...given, '1', ...(await used(user, feature)));
  if (state === 'full') throw new Refused(403, 'tier_limit_reached');
}

async function used(user, feature) {
  const filter = JSON.stringify({ user_id: { _eq: user.id }, feature: { _eq: feature } });
  const path = `/items/user_usage_counts?fields=id&limit=-1&filter=${encodeURIComponent(filter)}`;
  return directus ? (await call('GET', path, DIRECTUS_TOKEN)).map(({ id }) => id) : [];
}

const connection = { url: REDIS_URL };
const queues = Object.fromEntries(
  ['media-jobs', 'scrape-jobs', 'onboarding-jobs'].map((name) => [name, new Queue(name, { connection })]),
);

async function enqueue(request, response) {
  const { success, data: job, error } = Request.safeParse(request.body);
  if (!success) throw new Refused(422, 'invalid_request', z.flattenError(error).fieldErrors);
  const queue = queues[SCRAPE.includes(job.operation) ? 'scrape-jobs' : 'media-jobs'];
  let spec = { ...job, priority: job.priority ?? 10, owner: request.user.id };
  const runId = randomUUID();
  if (directus) spec = await checked(request, spec);
  await reserve(request.user, runId);
  if (directus) await claim(runId, spec);
  const added = await queue.add(job.operation, spec, { priority: spec.priority });
  const bullJobId = `bull:${queue.name}:${added.id}`;
  if (directus) {
    const fields = { bull_job_id: bullJobId, status: 'queued', priority: spec.priority, progress: 0 };
    await call('PATCH', `/items/media_jobs/${job.jobId}?fields=id`, DIRECTUS_TOKEN, fields);
  }
  response.location(`/api/queue/jobs/${job.jobId}`).json({ ok: true, bullJobId, jobId: job.jobId });
}

// The same calls that ours makes: read the item, check the file as its user, freeze what runs.
async function checked(request, spec) {
  const item = await call('GET', `/items/media_jobs/${spec.jobId}`, DIRECTUS_TOKEN);
  if (item.user_created !== request.user.id) throw new Refused(404, 'not_found');
  const merged = { ...spec, input_file_id: spec.input_file_id ?? item.input_file_id, params: spec.params ?? item.params };
  await call('GET', `/files/${merged.input_file_id}?fields=id`, request.token);
  return merged;
}

async function claim(id, spec) {
  await call('POST', '/items/media_job_runs?fields=id', DIRECTUS_TOKEN, {
    ...{ id, job_id: spec.jobId, round: 1, user_id: spec.owner, operation: spec.operation, spec },
    ...{ priority: spec.priority, bull_job_id: '', accepted_at: new Date().toISOString(), open: true },
  });
}

async function stats(_request, response) {
  const counted = await Promise.all(
    Object.entries(queues).map(async ([name, queue]) => {
      const { wait, paused, prioritized, ...rest } = await queue.getJobCounts(
        ...['wait', 'paused', 'prioritized', 'active', 'completed', 'failed', 'delayed'],
      );
      return [name, { waiting: (wait ?? 0) + (paused ?? 0) + prioritized, ...rest }];
    }),
  );
  response.json({ ok: true, stats: Object.fromEntries(counted), taxonomy_cache: { hits: 0, misses: 0, size: 0 } });
}

if (cluster.isPrimary) {
  for (let n = Number(process.env.WORKERS ?? availableParallelism()); n > 0; n--) cluster.fork();
  process.on('SIGTERM', () => process.exit());
} else {
  const app = express().disable('x-powered-by').disable('etag').use(express.json({ limit: '64kb' }));
  app.post('/api/queue/media', authenticate, enqueue);
  app.get('/api/queue/stats', authenticate, stats);
  app.use((error, _request, response, _next) => response.status(error.status ?? 500).json(error.body ?? { ok: false }));
  app.listen(Number(PORT), '127.0.0.1');
}
