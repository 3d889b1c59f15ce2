/** Numbers for people. */

/**
 * A share in percent. Only none is 0 %, only all is 100 %: else 0.33 % with no digits is 0.3 %, and 99.99 % is > 99 %.
 * @param {number} share
 * @param {number} [digits]
 * @returns {string}
 */
export function percent(share, digits = 1) {
  const shown = (100 * share).toFixed(digits);
  if (share > 0 && Number(shown) === 0) return digits < 2 ? percent(share, digits + 1) : "< 0.01 %";
  if (share < 1 && Number(shown) >= 100) return `> ${(100 - 10 ** -digits).toFixed(digits)} %`;
  return `${shown} %`;
}

/** How many of how many, and their share: 4 of 144 (2.8 %). @param {number} count @param {number} all */
export const outOf = (count, all) =>
  `${whole(count)} of ${whole(all)}${all > 0 ? ` (${percent(count / all)})` : ""}`;

/** As many digits as it has, at most two: 10 %, 0.33 %. @param {number} part */
export const share = (part) => `${Number((100 * part).toFixed(2))} %`;

/** @param {number} number */
export const whole = (number) => number.toLocaleString("en-GB");

/** Three digits: 0.123, 4.56, 1,234, 1.2e+6. @param {number} number */
export function short(number) {
  const size = Math.abs(number);
  if (number === 0) return "0";
  const sign = number < 0 ? "−" : "";
  if (size >= 1e5 || size < 0.01) return sign + size.toExponential(1);
  return sign + (size >= 1000 ? whole(Math.round(size)) : size.toPrecision(3));
}

/** Seconds: 45 s, 3 min 20 s, 2 h 5 min. @param {number} seconds */
export function duration(seconds) {
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min ${total % 60} s`;
  return `${Math.floor(total / 3600)} h ${Math.floor((total % 3600) / 60)} min`;
}

/** With its sign in front, a true minus: +1.25, −0.031. @param {number} number */
export function signed(number) {
  const size = Math.abs(number);
  if (size < 5e-4) return "0";
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return `${number < 0 ? "−" : "+"}${size.toFixed(digits)}`;
}

/** Three digits, a true minus before them. @param {number} number */
export const figures = (number) => short(number).replace(/^-/, "−");

/** The same with its sign, however small: +3.5e-3. @param {number} number */
export const signedFigures = (number) => (number > 0 ? `+${figures(number)}` : figures(number));
