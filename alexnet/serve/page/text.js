/** Numbers for people. */

/** @param {number} share @param {number} [digits] */
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

/** @param {number} number */
export const whole = (number) => number.toLocaleString("en-GB");

/** Three digits: 0.123, 4.56, 1,234, 1.2e+6. @param {number} number */
export function short(number) {
  const size = Math.abs(number);
  if (number === 0) return "0";
  if (size >= 1e5 || size < 0.01) return number.toExponential(1);
  return size >= 1000 ? whole(Math.round(number)) : number.toPrecision(3);
}

/** Seconds: 45 s, 3 min 20 s, 2 h 5 min. @param {number} seconds */
export function duration(seconds) {
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min ${total % 60} s`;
  return `${Math.floor(total / 3600)} h ${Math.floor((total % 3600) / 60)} min`;
}
