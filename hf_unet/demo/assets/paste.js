// An image in the clipboard goes where a dropped one would.
() => {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    const input = document.querySelector("#image input[type=file]");
    if (!files.length || !input) return;
    event.preventDefault();
    const carried = new DataTransfer();
    carried.items.add(files[0]);
    input.files = carried.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
};
