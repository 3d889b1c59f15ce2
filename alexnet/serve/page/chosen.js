/**
 * The picture that a page is about. The address names it, so that a reload, Back and a copied link find it again:
 * ?picture=ID&name=cat.jpg for an upload, ?picture=val.12 for a prepared picture.
 */

import { get } from "./api.js";

/**
 * What the address has chosen; null if it has not. Throws Refused if the picture is no longer in memory.
 * @param {Page} page
 * @returns {Promise<Looked|null>}
 */
export async function chosenPicture({ run, query, signal }) {
  const ident = query.get("picture");
  if (!ident) return null;
  /** @type {Upload} */
  const upload = await get(`api/pictures/${encodeURIComponent(ident)}`, signal);
  const name =
    query.get("name") ?? (upload.class ? `${upload.class}, ${ident.replace(".", " ")}` : "a picture");
  return { run, upload, name, api: `api/sides/own/pictures/${encodeURIComponent(ident)}`, signal };
}

/**
 * The part of an address that chooses a picture.
 * @param {string} ident of an upload, or as val.12
 * @param {string} [name] of an upload's file
 */
export function pictureQuery(ident, name) {
  return new URLSearchParams({ picture: ident, ...(name ? { name } : {}) }).toString();
}

/** The id of a prepared picture. @param {string} split @param {number} number */
export const prepared = (split, number) => `${split}.${number}`;

/**
 * The address at which a number is followed; without row and column the largest of its map.
 * @param {Pick<Looked, "upload"|"name">} looked
 * @param {string} layer
 * @param {number} unit
 * @param {number} [row]
 * @param {number} [column]
 */
export function followQuery({ upload, name }, layer, unit, row, column) {
  const at = row === undefined || column === undefined ? "" : `&row=${row}&column=${column}`;
  const picture = pictureQuery(upload.id, upload.class ? undefined : name);
  return `follow?${picture}&layer=${encodeURIComponent(layer)}&unit=${unit}${at}`;
}
