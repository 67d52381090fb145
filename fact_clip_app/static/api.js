const schema = await (await fetch("/api/openapi.json")).json();
const list = document.getElementById("requests");
const add = (tag, text, parent = list) => {
	const node = Object.assign(document.createElement(tag), {textContent: text});
	parent.append(node);
	return node;
};
for (const [path, methods] of Object.entries(schema.paths)) {
	for (const [method, {description, requestBody, parameters = []}] of Object.entries(methods)) {
		add("code", `${method.toUpperCase()} ${path}`, add("dt", ""));
		add("dd", description ?? "");
		const query = parameters.filter((one) => one.in === "query").map((one) => one.name);
		if (query.length) add("dd", `Query: ${query.join(", ")}`);
		const name = requestBody?.content["application/json"]?.schema.$ref?.split("/").at(-1);
		const fields = Object.keys(schema.components.schemas[name]?.properties ?? {});
		if (fields.length) add("dd", `JSON: ${fields.join(", ")}`);
	}
}
