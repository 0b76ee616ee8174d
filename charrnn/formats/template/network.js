/// product: A row times a matrix
// A matrix lies in memory row by row. Sums are in double precision.
function times(x, W, columns) {
  const out = new Float64Array(columns);
  for (let i = 0; i < x.length; i++) {
    for (let j = 0; j < columns; j++) {
      out[j] += x[i] * W[i * columns + j];
    }
  }
  return out;
}

function plus(x, y) {
  return Float64Array.from(x, (value, j) => value + y[j]);
}

function sigmoid(z) {
  return (1 + Math.tanh(z / 2)) / 2;
}

{{cell}}
/// stack: One character through all layers
// From S_{t-1} of each layer, which stay as they are, S_t of each layer.
function read(network, id, states) {
  const after = [];
  network.layers.forEach((W, l) => {
    const gates = W.b.length;
    // X_t is one-hot: X_t W_x is one row of W_x.
    const XW = l === 0
      ? W.W_x.subarray(id * gates, (id + 1) * gates)
      : times(after[l - 1].H, W.W_x, gates);
    const Z = plus(XW, W.b);
    const R = times(states[l].H, W.W_hh, gates);
    after.push(step(W, Z, R, states[l]));
  });
  return after;
}

function begin(network) {
  return network.layers.map((W) => zeros(W.units));
}

/// output: The next character
function logits(network, states) {
  const H = states[states.length - 1].H;
  return plus(times(H, network.W_ha, network.b_a.length), network.b_a);
}

function softmax(Z, temperature = 1) {
  const largest = Z.reduce((a, b) => Math.max(a, b));
  const e = Z.map((z) => Math.exp((z - largest) / temperature));
  const sum = e.reduce((a, b) => a + b);
  return e.map((value) => value / sum);
}

// Temperature 0 takes the most probable character, and the first of several.
function choose(Z, temperature, random) {
  if (temperature === 0) {
    return Z.reduce((best, z, i) => (z > Z[best] ? i : best), 0);
  }
  const A = softmax(Z, temperature);
  const mark = random();
  let sum = 0;
  for (let i = 0; i < A.length; i++) {
    sum += A[i];
    if (mark < sum) return i;
  }
  return A.length - 1;
}

// Numbers from 0 to 1, the same ones for the same seed: SplitMix, with the
// finaliser of MurmurHash3.
function seeded(seed) {
  let s = seed >>> 0;
  return () => {
    s = (s + 0x9e3779b9) >>> 0;
    let x = Math.imul(s ^ (s >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  };
}

/// weights: The weights, out of this page
// They stand here as base64 of float32 numbers, one matrix after another.
function unpacked(model, base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const W = {};
  let start = 0;
  for (const [name, shape] of model.shapes) {
    const size = shape.reduce((a, b) => a * b);
    W[name] = new Float32Array(bytes.buffer, 4 * start, size);
    start += size;
  }
  const layers = model.layers.map((names, l) => {
    const own = { units: model.hidden[l] };
    for (const key in names) own[key] = W[names[key]];
    return own;
  });
  return { layers, W_ha: W[`W_h${layers.length}a`], b_a: W.b_a };
}
