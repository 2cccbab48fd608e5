// The usage so far that withCredits' function reports.

import { callOptions } from './checks.js';
import { CreditsError } from './errors.js';

export class Usage {
  #reported; // {backend, credits}, each if reported; undefined: no report
  #isOver = false;

  // Each field replaces its earlier value. Usage may exceed the hold.
  say(spent) {
    if (this.#isOver) {
      throw new CreditsError('use: the function has ended and its credits are debited; it must await everything that uses credits');
    }
    const reported = callOptions('use', spent, ['backend', 'credits'], { creditsMin: 0 });
    if (Object.keys(reported).length > 0) this.#reported = { ...this.#reported, ...reported };
  }

  // Returns the whole report. Later reports are refused.
  end() {
    this.#isOver = true;
    return this.#reported;
  }
}
