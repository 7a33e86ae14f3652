// sharp, one thread, no cache. The same requests and answers as bench/worker.py; argument: per_size or cascade.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { createRequire } from "node:module";

const [modules, way] = process.argv.slice(2);
const sharp = createRequire(path.join(modules, "package.json"))("sharp");
sharp.concurrency(1);
sharp.cache(false);

const BOXES = { large: [1280, 1280], medium: [640, 480], small: [100, 100] };
const shrink = (image, [width, height]) => image.resize(width, height, { fit: "inside", withoutEnlargement: true });
const jpeg = (image) => image.flatten({ background: "white" }).jpeg({ quality: 80 }).toBuffer();

const WAYS = {
  // As AWS's Serverless Image Handler does it: each size is a call of its own, and decodes the file again.
  async per_size(data) {
    const files = {};
    for (const [name, box] of Object.entries(BOXES)) files[name] = await jpeg(shrink(sharp(data).rotate(), box));
    return files;
  },
  // One decode; each size from the pixels of the one before.
  async cascade(data) {
    const files = {};
    let image = sharp(data).rotate();
    for (const [name, box] of Object.entries(BOXES)) {
      const pixels = await shrink(image, box).flatten({ background: "white" }).raw().toBuffer({ resolveWithObject: true });
      image = sharp(pixels.data, { raw: pixels.info });
      files[name] = await jpeg(image.clone());
    }
    return files;
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { path: file, into } = JSON.parse(line);
  const data = fs.readFileSync(file);
  const answer = {};
  try {
    const before = process.cpuUsage();
    const files = await WAYS[way](data);
    const spent = process.cpuUsage(before);
    answer.ms = (spent.user + spent.system) / 1000;
    for (const [name, content] of Object.entries(into ? files : {})) {
      fs.writeFileSync(path.join(into, `${name}.jpg`), content);
    }
  } catch (error) {
    answer.error = String(error.message).split("\n")[0].slice(0, 80);
  }
  console.log(JSON.stringify(answer));
}
