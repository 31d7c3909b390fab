// Requests of a sink, to origins that the deployment grants.

import imported from "braid:sink/http@0.1.0";
import { must } from "./grants.js";
import { decode, encode } from "./text.js";

const said = (call) => {
  must("http", "a request");
  try {
    return call();
  } catch (reason) {
    throw typeof reason === "string" ? new Error(reason) : (reason.payload ? new Error(reason.payload) : reason);
  }
};

export const http = {
  /** Throws where a request to this URL would not be allowed; for `describe`. */
  granted: (url) => said(() => imported.granted(url)),

  /** Sends a request, and waits for the answer. */
  send({ method = "GET", url, headers = {}, body = "" }) {
    const bytes = typeof body === "string" ? encode(body) : body;
    const answer = said(() => imported.send({ method, url, headers: Object.entries(headers), body: bytes }));
    return { status: answer.status, headers: answer.headers, body: answer.body, text: () => decode(answer.body) };
  },

  post: (url, body, headers = {}) => http.send({ method: "POST", url, headers, body }),
};
