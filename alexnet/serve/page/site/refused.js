/** What a static copy can't do, in words. `../api.js` has the same class for what the explorer refused. */
export class Refused extends Error {}
