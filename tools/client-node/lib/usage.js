// What the function that withCredits runs says it has used, so far.

import { callOptions } from './checks.js';
import { CreditsError } from './errors.js';

export class Usage {
  #said; // {backend, credits}, each if it was said; undefined: nothing was
  #isOver = false;

  // Each member takes the place of what was said of it before. More than is held may be said.
  say(spent) {
    if (this.#isOver) {
      throw new CreditsError('use: the function has ended and its credits are debited; it must await what uses them');
    }
    const said = callOptions('use', spent, ['backend', 'credits'], { creditsMin: 0 });
    if (Object.keys(said).length > 0) this.#said = { ...this.#said, ...said };
  }

  // What was said in all. Later words are refused.
  end() {
    this.#isOver = true;
    return this.#said;
  }
}
