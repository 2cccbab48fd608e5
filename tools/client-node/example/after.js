// The relay with its credits in Recap Credits.

import { readFileSync } from 'node:fs';
import * as credits from '../index.js';
import { serve } from './relay.js';

const { QUOTA_FILE, CREDITS_URL, CREDITS_TOKEN, PORT = '8080' } = process.env;
const quota = JSON.parse(readFileSync(QUOTA_FILE));

await credits.initCredits({ url: CREDITS_URL, token: CREDITS_TOKEN });
serve(credits, { quota, hasHardware: false, port: Number(PORT) });
