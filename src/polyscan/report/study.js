// The viewer of a study: three planes with a slider each, cut through volumes that the page holds as sheets of slices.
"use strict";

const study = JSON.parse(document.getElementById("volumes").textContent);
const control = (id) => document.getElementById(id);
const OUTSIDE = [43, 58, 85];

// The axes along a picture's width and height and through it; the head is on top, so rows of slices are turned over.
const PLANES = {
  axial: { across: 0, down: 1, through: 2, turned: false },
  coronal: { across: 0, down: 2, through: 1, turned: true },
  sagittal: { across: 1, down: 2, through: 0, turned: true },
};

const decoded = new Map();

// The voxels of a sheet, x fastest: a sheet is a picture of all slices in rows of tiles.
function voxels(sheet, shape) {
  if (!decoded.has(sheet)) decoded.set(sheet, decode(sheet, shape));
  return decoded.get(sheet);
}

async function decode(sheet, [nx, ny, nz]) {
  const image = new Image();
  image.src = sheet.uri;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height).data;
  const found = new Uint8Array(nx * ny * nz);
  for (let z = 0, to = 0; z < nz; z++) {
    const left = (z % sheet.across) * sheet.tile[0];
    const top = Math.floor(z / sheet.across) * sheet.tile[1];
    for (let y = 0; y < ny; y++) {
      let from = 4 * ((top + y) * image.width + left);
      for (let x = 0; x < nx; x++, to++, from += 4) found[to] = pixels[from];
    }
  }
  return found;
}

async function scanVoxels(scan, shape) {
  const outside = scan.outside ? await voxels(scan.outside, shape) : null;
  return { levels: await voxels(scan, shape), outside };
}

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));

// The value that a level of grey stands for, by the lines between the four that are known.
function valueOf(scan, level) {
  let k = 1;
  while (k < 3 && level > scan.levels[k]) k++;
  const part = (level - scan.levels[k - 1]) / (scan.levels[k] - scan.levels[k - 1]);
  return scan.values[k - 1] + part * (scan.values[k] - scan.values[k - 1]);
}

// For each level of grey 0 to 255 what is shown of it, 0 dark to 255 bright, between two levels.
function windowed(scan, darkest, brightest) {
  const low = valueOf(scan, darkest);
  const high = Math.max(valueOf(scan, brightest), low + 1e-6);
  return Uint8Array.from({ length: 256 }, (_, level) =>
    Math.round(255 * Math.min(1, Math.max(0, (valueOf(scan, level) - low) / (high - low)))));
}

class Viewer {
  // paint(pixels, at, pane) colours the pixels of a pane, where at[i] is the voxel that pixel i shows; it returns what
  // they show in words, and the labels to outline.
  constructor(root, shape, spacing, middle, paint, hasCross = () => false) {
    this.shape = shape;
    this.position = [...middle];
    this.paint = paint;
    this.hasCross = hasCross;
    this.printed = root.querySelector(".print-only"); // on paper nothing else tells what the controls say
    this.panes = [...root.querySelectorAll("[data-plane]")].map((figure) => this.pane(figure, spacing));
  }

  pane(figure, spacing) {
    const plane = PLANES[figure.dataset.plane];
    const pane = {
      ...plane,
      name: figure.dataset.plane,
      canvas: figure.querySelector("canvas"),
      slider: figure.querySelector("input"),
      told: figure.querySelector("output"),
      width: this.shape[plane.across],
      height: this.shape[plane.down],
    };
    pane.scale = Math.ceil(600 / Math.max(pane.width, pane.height)); // so that lines are thin beside voxels
    pane.canvas.width = pane.width * pane.scale;
    pane.canvas.height = pane.height * pane.scale;
    pane.voxels = document.createElement("canvas");
    [pane.voxels.width, pane.voxels.height] = [pane.width, pane.height];
    const wide = pane.width * spacing[plane.across];
    const high = pane.height * spacing[plane.down];
    pane.canvas.style.aspectRatio = `${wide} / ${high}`;
    const fit = () => {
      const box = pane.canvas.parentElement.getBoundingClientRect();
      pane.canvas.style.width = `${Math.min(box.width, (box.height * wide) / high)}px`;
    };
    fit();
    new ResizeObserver(fit).observe(pane.canvas.parentElement);
    pane.slider.max = this.shape[plane.through] - 1;
    pane.slider.value = this.position[plane.through];
    pane.slider.addEventListener("input", () => {
      this.position[plane.through] = Number(pane.slider.value);
      this.draw();
    });
    pane.canvas.addEventListener("pointerdown", (event) => {
      const column = Math.floor((event.offsetX / pane.canvas.clientWidth) * pane.width);
      const row = Math.floor((event.offsetY / pane.canvas.clientHeight) * pane.height);
      this.position[plane.across] = Math.min(pane.width - 1, Math.max(0, column));
      const down = Math.min(pane.height - 1, Math.max(0, row));
      this.position[plane.down] = plane.turned ? pane.height - 1 - down : down;
      this.moveTo(this.position);
    });
    return pane;
  }

  moveTo(position) {
    this.position = [...position];
    for (const each of this.panes) each.slider.value = position[each.through];
    this.draw();
  }

  // The voxel that each pixel of a pane shows.
  voxelsOf(pane) {
    const stride = [1, this.shape[0], this.shape[0] * this.shape[1]];
    const first = this.position[pane.through] * stride[pane.through];
    const at = new Int32Array(pane.width * pane.height);
    for (let row = 0, i = 0; row < pane.height; row++) {
      const start = first + (pane.turned ? pane.height - 1 - row : row) * stride[pane.down];
      for (let column = 0; column < pane.width; column++, i++) at[i] = start + column * stride[pane.across];
    }
    return at;
  }

  cross(context, pane) {
    const [column, row] = [this.position[pane.across], this.position[pane.down]];
    const [x, y] = [column + 0.5, (pane.turned ? pane.height - 1 - row : row) + 0.5];
    context.strokeStyle = "#ffd75e99";
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, pane.height);
    context.moveTo(0, y);
    context.lineTo(pane.width, y);
    context.stroke();
  }

  draw() {
    for (const pane of this.panes) {
      const context = pane.canvas.getContext("2d");
      const picture = new ImageData(pane.width, pane.height);
      picture.data.fill(255);
      const at = this.voxelsOf(pane);
      const { shown, outlines } = this.paint(picture.data, at, pane);
      pane.voxels.getContext("2d").putImageData(picture, 0, 0);
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.drawImage(pane.voxels, 0, 0, pane.canvas.width, pane.canvas.height);
      context.scale(pane.scale, pane.scale);
      context.lineWidth = 2 / pane.scale;
      for (const { labels, colour } of outlines) outline(context, labels, at, pane.width, colour);
      if (this.hasCross()) this.cross(context, pane);
      const slice = `slice ${this.position[pane.through] + 1} of ${this.shape[pane.through]}`;
      pane.told.textContent = slice;
      pane.slider.setAttribute("aria-valuetext", slice);
      pane.canvas.setAttribute("aria-label", `${pane.name} ${slice}: ${shown}`);
      this.printed.textContent = `${shown}.`;
    }
  }
}

// Draw the lines between pixels whose labels differ.
function outline(context, labels, at, width, colour) {
  context.strokeStyle = colour;
  context.beginPath();
  for (let i = 0; i < at.length; i++) {
    const [column, row] = [i % width, Math.floor(i / width)];
    if (column > 0 && labels[at[i - 1]] !== labels[at[i]]) {
      context.moveTo(column, row);
      context.lineTo(column, row + 1);
    }
    if (row > 0 && labels[at[i - width]] !== labels[at[i]]) {
      context.moveTo(column, row);
      context.lineTo(column + 1, row);
    }
  }
  context.stroke();
}

function mix(pixels, i, colour, opacity) {
  for (let c = 0; c < 3; c++) pixels[4 * i + c] = (1 - opacity) * pixels[4 * i + c] + opacity * colour[c];
}

async function showStudy() {
  const labelColours = Object.fromEntries(
    Object.entries(study.labels).map(([number, colour]) => [number, bytes(colour.slice(1))]));
  const mask = study.masks.prediction && await voxels(study.masks.prediction, study.shape);
  const truth = study.masks.truth && await voxels(study.masks.truth, study.shape);
  const doubts = {};
  for (const [of, sheet] of Object.entries(study.doubts)) doubts[of] = await voxels(sheet, study.shape);
  let name, scan, held, grey, colours, marks;

  const viewer = new Viewer(control("viewer"), study.shape, study.spacing, study.middle, (pixels, at) => {
    const overlay = control("overlay")?.value ?? "";
    const opacity = Number(control("opacity")?.value ?? 0) / 100;
    const outlined = truth && control("truth").checked;
    for (let i = 0; i < at.length; i++) {
      const outside = held.outside && held.outside[at[i]];
      const shown = 3 * grey[held.levels[at[i]]];
      pixels.set(outside ? OUTSIDE : colours.subarray(shown, shown + 3), 4 * i);
      if (overlay === "prediction" && mask[at[i]]) {
        mix(pixels, i, labelColours[mask[at[i]]] ?? OUTSIDE, opacity);
      } else if (doubts[overlay]) {
        const p = doubts[overlay][at[i]] / 255;
        mix(pixels, i, [255, 255 * p, 40], opacity * Math.min(1, 2 * p));
      } else if (marks) {
        const v = (marks[at[i]] - 128) / 127;
        const rest = 220 * (1 - Math.abs(v));
        if (Math.abs(v) > 0.04) mix(pixels, i, v > 0 ? [255, rest, 0] : [0, rest, 255], opacity * Math.min(1, 2 * Math.abs(v)));
      }
    }
    const shownInColour = study.attributions[overlay]?.name ?? overlay;
    const beside = [shownInColour && `${shownInColour} in colour`, outlined && "the truth outlined"].filter(Boolean);
    const outlines = outlined ? [{ labels: truth, colour: study.truth }] : [];
    const [low, high] = ["darkest", "brightest"].map((id) => control(`${id}-value`).textContent);
    return { shown: [`${name} from ${low} to ${high}`, ...beside].join(", "), outlines };
  }, () => control("cross").checked);

  const rewindow = () => {
    const [darkest, brightest] = [control("darkest"), control("brightest")].map((slider) => Number(slider.value));
    grey = windowed(scan, darkest, brightest);
    for (const [id, level] of [["darkest", darkest], ["brightest", brightest]]) {
      const told = `${Number(valueOf(scan, level).toPrecision(3))} ${scan.unit}`.trim();
      control(`${id}-value`).textContent = told;
      control(id).setAttribute("aria-valuetext", told);
    }
    if (control("opacity")) control("opacity-value").textContent = `${control("opacity").value} %`;
    viewer.draw();
  };
  // A map of attribution belongs to one scan.
  const mark = async () => {
    const sheet = study.attributions[control("overlay")?.value]?.scans[name];
    marks = sheet && await voxels(sheet, study.shape);
  };
  const choose = async () => {
    name = control("scan").value;
    scan = study.scans[name];
    held = await scanVoxels(scan, study.shape);
    colours = bytes(scan.colours);
    await mark();
    [control("darkest").value, control("brightest").value] = [scan.levels[1], scan.levels[2]];
    rewindow();
  };
  control("scan").addEventListener("change", choose);
  for (const button of document.querySelectorAll("[data-map]")) {
    button.addEventListener("click", async () => {
      [control("scan").value, control("overlay").value] = [button.dataset.scan, button.dataset.map];
      await choose();
      viewer.moveTo(study.attributions[button.dataset.map].peaks[button.dataset.scan]);
      control("scans").scrollIntoView();
    });
  }
  for (const id of ["darkest", "brightest", "opacity"]) control(id)?.addEventListener("input", rewindow);
  control("overlay")?.addEventListener("change", () => mark().then(() => viewer.draw()));
  for (const id of ["truth", "cross"]) control(id)?.addEventListener("change", () => viewer.draw());
  await choose();
}

async function showRegistration() {
  const { shape, spacing, fixed, moving } = study.registration;
  const under = { ...await scanVoxels(fixed, shape), grey: windowed(fixed, fixed.levels[1], fixed.levels[2]) };
  const middle = study.middle.map((at, axis) => Math.floor(((at + 0.5) / study.shape[axis]) * shape[axis]));
  let over;

  const viewer = new Viewer(control("registered"), shape, spacing, middle, (pixels, at, pane) => {
    const line = Math.round((Number(control("swipe").value) / 100) * pane.width);
    const board = control("blend").value === "board";
    const field = Math.max(4, Math.round(pane.width / 8));
    for (let i = 0; i < at.length; i++) {
      const column = i % pane.width;
      const { levels, outside, grey } = column < line ? over.before : over.after;
      const a = under.outside && under.outside[at[i]] ? 0 : under.grey[under.levels[at[i]]];
      const b = outside && outside[at[i]] ? 0 : grey[levels[at[i]]];
      const row = Math.floor(i / pane.width);
      const own = (Math.floor(column / field) + Math.floor(row / field)) % 2 === 0;
      pixels.set(board ? Array(3).fill(own ? a : b) : [b, a, b], 4 * i);
      if (column === line && line > 0) pixels.set([255, 215, 94], 4 * i);
    }
    const shown = `${control("moving").value} on the reference, before registration left of the line, after it right of it`;
    return { shown, outlines: [] };
  });

  const choose = async () => {
    over = {};
    for (const [when, scan] of Object.entries(moving[control("moving").value])) {
      over[when] = { ...await scanVoxels(scan, shape), grey: windowed(scan, scan.levels[1], scan.levels[2]) };
    }
    viewer.draw();
  };
  control("moving").addEventListener("change", choose);
  control("blend").addEventListener("change", () => viewer.draw());
  control("swipe").addEventListener("input", () => viewer.draw());
  await choose();
}

showStudy()
  .then(() => study.registration && showRegistration())
  .then(() => { document.documentElement.dataset.ready = "yes"; });
