"use strict";
/* Two rows, paired by item: the arithmetic of `rsbench compare`, in the page.

   Differences are exact. Intervals and p values are drawn, with a seeded generator that is not NumPy's: they agree with the
   command's within what drawing leaves open. */
const pairs = (() => {
  const DRAWS = 2000, FLIPS = 10000, EXACT = 12;
  function generator(seed) { // mulberry32: 32 random bits at a time
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (t ^ (t >>> 14)) >>> 0;
    };
  }
  function ones(word) { // bits that are set
    let n = word - ((word >>> 1) & 0x55555555);
    n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
    return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  function numbers(packed) {
    return typeof packed === "string" ? [...packed].map((c) => (c === "-" ? null : Number(c))) : packed.which.map((n) => packed.numbers[n]);
  }
  function clusters(packed) { // the number of each unit's pair; as text, a 1 for each unit that begins a new one
    let pair = -1;
    return typeof packed === "string" ? [...packed].map((c) => (pair += Number(c))) : packed;
  }
  function interval(sums, counts, tails) { // whole pairs are resampled; percentiles of the ratio, wider where pairs are few
    const ratios = sums.map((sum, n) => sum / counts[n]);
    if (sums.length < 2 || Math.max(...ratios) - Math.min(...ratios) < 1e-12) return [null, null];
    const random = generator(1), drawn = new Float64Array(DRAWS);
    for (let draw = 0; draw < DRAWS; draw += 1) {
      let top = 0, bottom = 0;
      for (let n = 0; n < sums.length; n += 1) { const at = Math.floor((random() / 4294967296) * sums.length); top += sums[at]; bottom += counts[at]; }
      drawn[draw] = top / bottom;
    }
    drawn.sort();
    const quantile = (q) => { const at = q * (DRAWS - 1), low = Math.floor(at); return drawn[low] + (at - low) * (drawn[Math.min(low + 1, DRAWS - 1)] - drawn[low]); };
    const tail = tails[sums.length - 2]; // of two pairs the first
    return [quantile(tail), quantile(1 - tail)];
  }
  function signFlip(all) {
    const sums = all.filter((sum) => Math.abs(sum) > 1e-12);
    if (!sums.length) return 1;
    const size = sums.reduce((total, sum) => total + Math.abs(sum), 0);
    const seen = Math.abs(sums.reduce((total, sum) => total + sum, 0)) - 1e-9 * size;
    let extreme = 0;
    if (sums.length <= EXACT) {
      const patterns = 2 ** sums.length;
      for (let mask = 0; mask < patterns; mask += 1) {
        let total = 0;
        sums.forEach((sum, n) => { total += mask & (1 << n) ? sum : -sum; });
        if (Math.abs(total) >= seen) extreme += 1;
      }
      return extreme / patterns;
    }
    // Pairs of one size flip together: how many of n fall up is a count of n random bits. Sizes are few, pairs thousands.
    const random = generator(2), sizes = new Map();
    for (const sum of sums) { // equal but for rounding
      const of = Math.abs(sum), name = of.toFixed(12);
      sizes.set(name, [of, sizes.has(name) ? sizes.get(name)[1] + 1 : 1]);
    }
    const groups = [...sizes.values()];
    for (let draw = 0; draw < FLIPS; draw += 1) {
      let total = 0;
      for (const [of, n] of groups) {
        let up = 0;
        for (let left = n; left > 0; left -= 32) up += ones(left < 32 ? random() >>> (32 - left) : random());
        total += of * (2 * up - n);
      }
      if (Math.abs(total) >= seen) extreme += 1;
    }
    return (1 + extreme) / (1 + FLIPS);
  }
  function holm(found) {
    const ranked = found.filter((row) => row.p !== null).sort((x, y) => x.p - y.p);
    let running = 0;
    ranked.forEach((row, rank) => { running = Math.max(running, Math.min(1, row.p * (ranked.length - rank))); row.holm = running; });
  }
  function difference(metric, one, other, clusters, tails) {
    const sums = new Map(), counts = new Map();
    let n = 0, a = 0, b = 0;
    one.forEach((value, unit) => {
      if (value === null || other[unit] === null) return;
      const pair = clusters[unit];
      n += 1; a += value; b += other[unit];
      sums.set(pair, (sums.get(pair) || 0) + other[unit] - value);
      counts.set(pair, (counts.get(pair) || 0) + 1);
    });
    if (!n) return { metric, n, a: null, b: null, difference: null, low: null, high: null, p: null, holm: null };
    const keys = [...sums.keys()].sort((x, y) => x - y);
    const [low, high] = interval(keys.map((key) => sums.get(key)), keys.map((key) => counts.get(key)), tails);
    return { metric, n, a: a / n, b: b / n, difference: (b - a) / n, low, high, p: signFlip(keys.map((key) => sums.get(key))), holm: null };
  }
  function compare(data, id, one, other) { // the table's id, and both rows' values by metric
    const table = data.tables.find((t) => t.id === id);
    const found = data.metrics.map((metric) => difference(
      metric, numbers(one[metric.key]), numbers(other[metric.key]), clusters(data.units[table.units[metric.key]]), data.tails));
    holm(found);
    return found;
  }
  return { compare };
})();
