/**
 * The products of convolutions: filters times what windows read, four maps and four positions together. By WebAssembly
 * (multiply.wat) where the browser has its SIMD instructions, five times as fast as by JavaScript.
 */

export const LANES = 4;
const PAGE = 1 << 16; // bytes of WebAssembly's memory

// prettier-ignore
const CODE =
  "AGFzbQEAAAABCwFgB39/f39/f38AAg4BAmpzBm1lbW9yeQIAAQMCAQAHDAEIbXVsdGlwbHkAAAqxBAGuBAIGfwl7A0BBACEH" +
  "IAAhCQNA/QwAAAAAAAAAAAAAAAAAAAAAIQ39DAAAAAAAAAAAAAAAAAAAAAAhDv0MAAAAAAAAAAAAAAAAAAAAACEP/QwAAAAA" +
  "AAAAAAAAAAAAAAAAIRD9DAAAAAAAAAAAAAAAAAAAAAAhEf0MAAAAAAAAAAAAAAAAAAAAACES/QwAAAAAAAAAAAAAAAAAAAAA" +
  "IRP9DAAAAAAAAAAAAAAAAAAAAAAhFCABIQogASAGQQR0aiELA0AgCv0ABAAhFSANIBUgCf0JAgD95gH95AEhDSAOIBUgCf0J" +
  "AgT95gH95AEhDiAPIBUgCf0JAgj95gH95AEhDyAQIBUgCf0JAgz95gH95AEhECAK/QAEECEVIBEgFSAJ/QkCEP3mAf3kASER" +
  "IBIgFSAJ/QkCFP3mAf3kASESIBMgFSAJ/QkCGP3mAf3kASETIBQgFSAJ/QkCHP3mAf3kASEUIAlBIGohCSAKQSBqIQogCiAL" +
  "SQ0ACyADIAcgBWwgCGpBAnRqIQwgAiAHQQJ0aiEKIAVBAnQhCyAMIA0gEf3kASAK/QkCAP3kAf0LBAAgDCALaiEMIAwgDiAS" +
  "/eQBIAr9CQIE/eQB/QsEACAMIAtqIQwgDCAPIBP95AEgCv0JAgj95AH9CwQAIAwgC2ohDCAMIBAgFP3kASAK/QkCDP3kAf0L" +
  "BAAgB0EEaiEHIAcgBEkNAAsgASAGQQR0aiEBIAhBBGohCCAIIAVJDQALCw==";

/** @type {WebAssembly.Module|null|undefined} null where there is none */
let compiled;

function library() {
  if (compiled === undefined) {
    try {
      compiled = new WebAssembly.Module(Uint8Array.from(atob(CODE), (letter) => letter.charCodeAt(0)));
    } catch {
      compiled = null;
    }
  }
  return compiled;
}

/** @param {number} count @param {number} step */
const up = (count, step) => Math.ceil(count / step) * step;

/**
 * Room for the products of the columns of a layer, and the function that computes them.
 * @param {{ matrix: Float32Array, addends: Float32Array }[]} columns filters, rows × depth, and biases
 * @param {number} rows
 * @param {number} wide positions
 * @param {number} depth values that a window reads
 * @param {boolean} [plain] by JavaScript in any case
 */
export function products(columns, rows, wide, depth, plain = false) {
  const [rowsUp, wideUp, depthUp] = [up(rows, LANES), up(wide, LANES), up(depth, 2)];
  const sizes = [...columns.flatMap(() => [rowsUp * depthUp, rowsUp]), wideUp * depthUp, rowsUp * wideUp];
  const bytes = 4 * sizes.reduce((sum, size) => sum + size, 0);
  const module = plain ? null : library();
  const memory = module && new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
  const buffer = memory ? memory.buffer : new ArrayBuffer(bytes);
  let at = 0;
  const arrays = sizes.map((size) => {
    at += 4 * size;
    return new Float32Array(buffer, at - 4 * size, size);
  });
  const [patches, found] = arrays.slice(-2);
  columns.forEach(({ matrix, addends }, column) => {
    pack(arrays[2 * column], matrix, rows, depth, depthUp);
    arrays[2 * column + 1].set(addends);
  });
  const multiply =
    module && memory ? inWasm(new WebAssembly.Instance(module, { js: { memory } })) : inJavaScript;
  const product = (/** @type {number} */ column) => {
    multiply(arrays[2 * column], patches, arrays[2 * column + 1], found, rowsUp, wideUp, depthUp);
    return found;
  };
  return { patches, product, wideUp };
}

/**
 * Rows of a matrix in panels of LANES rows, value after value.
 * @param {Float32Array} panels
 * @param {Float32Array} matrix
 * @param {number} rows
 * @param {number} depth
 * @param {number} depthUp
 */
function pack(panels, matrix, rows, depth, depthUp) {
  for (let row = 0; row < rows; row++) {
    const start = (row >> 2) * depthUp * LANES + (row & 3);
    for (let value = 0; value < depth; value++) panels[start + value * LANES] = matrix[row * depth + value];
  }
}

/**
 * @callback Multiply y = a · b + bias
 * @param {Float32Array} a panels of rows
 * @param {Float32Array} b panels of columns
 * @param {Float32Array} bias
 * @param {Float32Array} y rows × wide
 * @param {number} rows
 * @param {number} wide
 * @param {number} depth
 */

/** @param {WebAssembly.Instance} instance @returns {Multiply} */
function inWasm({ exports }) {
  const multiply = /** @type {(...places: number[]) => void} */ (exports.multiply);
  return (a, b, bias, y, ...sizes) =>
    multiply(a.byteOffset, b.byteOffset, bias.byteOffset, y.byteOffset, ...sizes);
}

/** @type {Multiply} */
function inJavaScript(a, b, bias, y, rows, wide, depth) {
  const block = new Float64Array(LANES * LANES);
  for (let column = 0; column < wide; column += LANES) {
    for (let row = 0; row < rows; row += LANES) {
      blockOf(a, row * depth, b, column * depth, depth, block);
      for (let i = 0; i < LANES; i++)
        for (let j = 0; j < LANES; j++)
          y[(row + i) * wide + column + j] = block[i * LANES + j] + bias[row + i];
    }
  }
}

/**
 * 4 × 4 results, which stay in registers.
 * @param {Float32Array} a
 * @param {number} atA
 * @param {Float32Array} b
 * @param {number} atB
 * @param {number} depth
 * @param {Float64Array} block
 */
function blockOf(a, atA, b, atB, depth, block) {
  // prettier-ignore
  let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
  // prettier-ignore
  let s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
  for (const end = atA + depth * LANES; atA < end; atA += LANES, atB += LANES) {
    // prettier-ignore
    const b0 = b[atB], b1 = b[atB + 1], b2 = b[atB + 2], b3 = b[atB + 3];
    const a0 = a[atA];
    s00 += a0 * b0;
    s01 += a0 * b1;
    s02 += a0 * b2;
    s03 += a0 * b3;
    const a1 = a[atA + 1];
    s10 += a1 * b0;
    s11 += a1 * b1;
    s12 += a1 * b2;
    s13 += a1 * b3;
    const a2 = a[atA + 2];
    s20 += a2 * b0;
    s21 += a2 * b1;
    s22 += a2 * b2;
    s23 += a2 * b3;
    const a3 = a[atA + 3];
    s30 += a3 * b0;
    s31 += a3 * b1;
    s32 += a3 * b2;
    s33 += a3 * b3;
  }
  block.set([s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33]);
}
