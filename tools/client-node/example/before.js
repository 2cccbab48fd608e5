// The relay with its credits in one JSON file.

import { readFileSync } from 'node:fs';
import * as credits from './old_credits.js';
import { serve } from './relay.js';

const { QUOTA_FILE, DATA_DIR, PORT = '8080' } = process.env;
const quota = JSON.parse(readFileSync(QUOTA_FILE));

await credits.initCredits({ dataDir: DATA_DIR });
serve(credits, { quota, hasHardware: false, port: Number(PORT) });
