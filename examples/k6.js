// Load with every answer checked: k6 run --env ADDRESS=HOST:PORT k6.js

import { check } from 'k6';
import grpc from 'k6/net/grpc';

const ADDRESS = __ENV.ADDRESS || '127.0.0.1:50051';
const TASK = __ENV.TASK || 'review-polarity';
// Milliseconds that 95 of 100 calls may take.
const P95_MS = __ENV.P95_MS || '1000';

const EXPECTED = [
  ['I love it, great quality.', 'positive'],
  ['A waste of money.', 'negative'],
];
const REQUEST = { task: TASK, examples: EXPECTED.map(([text]) => ({ fields: { text } })) };

export const options = {
  vus: 4,
  duration: '10s',
  thresholds: {
    checks: ['rate==1'],
    grpc_req_duration: [`p(95)<${P95_MS}`],
  },
};

const client = new grpc.Client();

export default function () {
  // One connection for each user.
  if (__ITER === 0) {
    client.connect(ADDRESS, { plaintext: true, reflect: true });
  }
  const answer = client.invoke('dynamar.v1.Inference/Classify', REQUEST, { timeout: '5s' });
  const results = (answer.message && answer.message.results) || [];
  const sum = (labels) => labels.reduce((all, one) => all + one.probability, 0);
  check(answer, {
    'it is answered': ({ status }) => status === grpc.StatusOK,
    'every text has an answer': () => results.length === EXPECTED.length,
    'probabilities sum to 1': () =>
      results.every(({ labels }) => Math.abs(sum(labels) - 1) < 1e-5),
    'labels are right': () =>
      results.every(({ labels }, at) => labels[0].label === EXPECTED[at][1]),
  });
}
