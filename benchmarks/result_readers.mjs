// What dcmjs and @cornerstonejs/adapters, of which OHIF is made, read of DICOM objects: see result_readers.py.
// Told, as JSON in a file: cases with the images of their series, slice by slice, and the files of the objects.
import { readFileSync, writeFileSync } from "node:fs";
import { metaData } from "@cornerstonejs/core";
import { Cornerstone3DPMAP, Cornerstone3DSEG } from "@cornerstonejs/adapters/cornerstone3D";
import dcmjs from "dcmjs";

const { BitArray, DicomMessage, DicomMetaDictionary } = dcmjs.data;
const bytes = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
const one = (each) => (Array.isArray(each) ? each[0] : each);
const several = (each) => (each === undefined ? [] : Array.isArray(each) ? each : [each]);

function buffer(file) {
  const read = readFileSync(file);
  return read.buffer.slice(read.byteOffset, read.byteOffset + read.byteLength);
}

function dataset(file) {
  const read = DicomMessage.readFile(buffer(file));
  return DicomMetaDictionary.naturalizeDataset(read.dict);
}

// Each frame with its place, and the segment or the map that it is of.
function frames(data) {
  const size = data.Rows * data.Columns;
  const raw = one(data.PixelData ?? data.FloatPixelData);
  const values = data.FloatPixelData ? new Float32Array(raw) : data.BitsAllocated === 1 ? BitArray.unpack(raw) : new Uint8Array(raw);
  const shared = one(data.SharedFunctionalGroupsSequence);
  return several(data.PerFrameFunctionalGroupsSequence).map((group, k) => ({
    position: several(one(group.PlanePositionSequence).ImagePositionPatient).map(Number),
    of: one(group.SegmentIdentificationSequence)?.ReferencedSegmentNumber
      ?? one((group.RealWorldValueMappingSequence ?? shared.RealWorldValueMappingSequence))?.LUTExplanation,
    type: data.FloatPixelData ? "float32" : "uint8",
    pixels: bytes(values.slice(k * size, (k + 1) * size)),
  }));
}

function contents(item) {
  return [item, ...several(item.ContentSequence).flatMap(contents)];
}

function numbers(data) {
  return several(data.ContentSequence).flatMap(contents).filter((item) => item.ValueType === "NUM")
    .map((item) => [one(item.ConceptNameCodeSequence).CodeMeaning, Number(one(item.MeasuredValueSequence).NumericValue)]);
}

function matrices(data) {
  return several(data.RegistrationSequence).map((item) =>
    several(one(one(item.MatrixRegistrationSequence).MatrixSequence).FrameOfReferenceTransformationMatrix).map(Number));
}

function provider(images) {
  const known = Object.fromEntries(images.map((each) => [each.id, each]));
  const get = (kind, id) => {
    const image = known[id];
    if (!image) return undefined;
    return {
      imagePlaneModule: {
        rows: image.Rows, columns: image.Columns, rowCosines: image.orientation.slice(0, 3),
        columnCosines: image.orientation.slice(3), imagePositionPatient: image.position,
        imageOrientationPatient: image.orientation, rowPixelSpacing: image.spacing[0],
        columnPixelSpacing: image.spacing[1], frameOfReferenceUID: image.FrameOfReferenceUID, pixelSpacing: image.spacing,
      },
      imagePixelModule: { bitsAllocated: 16, bitsStored: 16, samplesPerPixel: 1, highBit: 15,
        photometricInterpretation: "MONOCHROME2", pixelRepresentation: 1 },
      generalSeriesModule: { seriesInstanceUID: image.SeriesInstanceUID, modality: image.Modality },
      generalImageModule: { sopInstanceUID: image.SOPInstanceUID },
      sopCommonModule: { sopInstanceUID: image.SOPInstanceUID, sopClassUID: image.SOPClassUID },
      instance: { ...image, ImagePositionPatient: image.position, ImageOrientationPatient: image.orientation },
    }[kind];
  };
  return { get };
}

async function labelmaps(images, file) {
  const known = provider(images);
  metaData.removeAllProviders();
  metaData.addProvider(known.get, 1);
  const read = await Cornerstone3DSEG.Segmentation.createFromDICOMSegBuffer(images.map((each) => each.id), buffer(file), { metadataProvider: known });
  return read.labelMapImages.map((stack) => stack.map((image) => bytes(Uint8Array.from(image.voxelManager.getScalarData()))));
}

async function map(images, file) {
  const read = await Cornerstone3DPMAP.ParametricMap.generateToolState(images.map((each) => each.id), buffer(file), provider(images));
  return bytes(new Float32Array(read.pixelData));
}

async function main(cases, out) {
  const found = {};
  for (const { name, images, files } of JSON.parse(readFileSync(cases, "utf8"))) {
    const here = (found[name] = {});
    for (const [what, file] of Object.entries(files)) {
      const framed = ["seg", "labelmap", "probabilities", "uncertainty"].includes(what);
      if (!framed && !["sr", "registration"].includes(what)) continue;
      const tasks = { dcmjs: () => (framed ? frames : what === "sr" ? numbers : matrices)(dataset(file)) };
      if (["seg", "labelmap"].includes(what)) tasks.adapters = () => labelmaps(images, file);
      if (what === "uncertainty") tasks.adapters = () => map(images, file);
      for (const [reader, task] of Object.entries(tasks)) {
        try {
          here[`${what} ${reader}`] = { read: await task() };
        } catch (error) {
          here[`${what} ${reader}`] = { refused: String(error?.message ?? error) };
        }
      }
    }
  }
  writeFileSync(out, JSON.stringify(found));
}

main(process.argv[2], process.argv[3]).then(() => process.exit(0));
