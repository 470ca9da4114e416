<?php

// Promises: tabs of the admin pages, as plain tables.
// Leans on: nothing.
// Must never: escape for the page.

declare(strict_types=1);



class CAdminTabControl
{
    private int $next = 0;

    public function __construct(private readonly string $name, private readonly array $tabs)
    {
    }

    public function Begin()
    {
        echo '<div id="' . htmlspecialcharsbx($this->name) . "\">\n";
    }

    public function BeginNextTab()
    {
        $tab = $this->tabs[$this->next++];
        echo ($this->next > 1 ? "</table>\n" : '') . '<h2>' . htmlspecialcharsbx($tab['TAB']) . "</h2>\n<table>\n";
    }

    public function Buttons()
    {
        echo "</table>\n";
    }

    public function End()
    {
        echo "</div>\n";
    }
}
