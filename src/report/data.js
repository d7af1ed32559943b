"use strict";
// What #data holds, unpacked (columns.h): numbers as typed arrays, names as an array and the index of each trial's.
const lathe = {};

lathe.read = function (text) {
  function bytes(base64) {
    const raw = atob(base64);
    const array = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; ++i) array[i] = raw.charCodeAt(i);
    return array.buffer;
  }

  function unpack(column) {
    if ("f32" in column) return new Float32Array(bytes(column.f32));
    const at = "u8" in column ? new Uint8Array(bytes(column.u8))
      : "u16" in column ? new Uint16Array(bytes(column.u16)) : new Uint32Array(bytes(column.u32));
    return { names: column.names, at: at };
  }

  const study = JSON.parse(text);
  if (study.studies) return study;  // a list of studies has no trials
  const { count, genes, ...columns } = study.trials;
  study.trials = { count: count };
  for (const [name, column] of Object.entries(columns)) study.trials[name] = unpack(column);
  study.trials.genes = genes.map((gene) => ({ name: gene.name, ...unpack(gene) }));
  const complete = study.trials.state.names.indexOf("COMPLETE");
  study.complete = [];  // indices
  study.trials.state.at.forEach((state, i) => { if (state === complete) study.complete.push(i); });
  return study;
};
